# Everyday commands; `just` lists them.

_default:
    @just --list

# Format and lints, as the gate checks them.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Every test on both databases; with arguments, only those: just test -p store
test *arguments:
    scripts/test {{arguments}}

# The whole service on http://127.0.0.1:8000
run *arguments:
    cargo run --release -- up {{arguments}}

# A simulated LLM server, the whole service, one benchmark.
demo *arguments:
    cargo run --release -- demo {{arguments}}

# The instrument against a real LLM server (needs Python with pip).
check-real-llm *arguments:
    scripts/check-real-llm {{arguments}}

# Look at snapshots that changed and take them over.
snapshots:
    UPDATE_OPENAPI=1 INSTA_UPDATE=always cargo nextest run --workspace --no-fail-fast
    git diff --stat -- '*.snap' 'api/openapi.json'
