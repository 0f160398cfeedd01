//! The walls of docs/architecture.md, held by the manifests and the sources themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use testkit::process::Program;

/// What each crate must not know. Each line is an invariant of docs/architecture.md.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("shared", &["tokio", "hyper", "reqwest", "poem", "target", "store"]),
    ("target-server", &["loadgen", "store", "api", "runner", "poem"]),
    ("records", &["tokio", "shared", "loadgen", "store", "object_store", "poem"]),
    (
        "loadgen",
        &["object_store", "store", "entity", "migration", "api", "runner", "poem", "poem-openapi"],
    ),
    ("api", &["loadgen", "runner", "reqwest", "hyper"]),
    ("runner", &["api", "poem", "poem-openapi", "reqwest", "hyper"]),
    ("store", &["api", "runner", "loadgen", "target", "poem", "records"]),
    ("migration", &["entity", "shared", "store"]),
    ("entity", &["migration", "shared", "store"]),
    ("simulator", &["shared", "target", "loadgen", "store", "reqwest"]),
    ("daemon", &["shared", "store", "loadgen", "api", "runner"]),
    ("chaos", &["store", "entity", "migration", "loadgen", "runner", "api", "target"]),
    ("cli", &["entity", "migration", "poem", "poem-openapi", "hyper"]),
];

/// The crates that may name the database and the queue. `testkit` makes databases for tests, and
/// `chaos` reads what the store has written with eyes of its own.
const KNOW_THE_DATABASE: &[&str] = &["store", "entity", "migration", "testkit", "chaos"];
/// How their libraries' names begin.
const DATABASE_LIBRARIES: &[&str] = &["sea-orm", "sqlx", "apalis", "rusqlite", "tokio-postgres"];

/// The crates that may open a connection to a server. `store` is not one: its library does it.
/// `chaos` stands between the programs and cuts their lines.
const OPEN_CONNECTIONS: &[&str] = &["target-server", "testkit", "chaos"];

/// A program for developers: no image has it, and nothing of ours depends on it.
const NEVER_SHIPS: &str = "chaos";

/// Pure by decree: plain values in, plain values out.
const PURE: &[&str] = &[
    "loadgen/src/arrival",
    "loadgen/src/metrics",
    "target-server/src/sse.rs",
    "target-server/src/chunk.rs",
];
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "async fn",
    "async move",
    ".await",
    "tokio::",
    "thread_rng",
    "rand::rng",
];

/// Names that say nothing of what a file holds.
const FORBIDDEN_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "misc", "types", "models", "manager", "service",
];

/// Variables that clap does not list: the log's filter is read by its library.
const UNLISTED: &[&str] = &["RUST_LOG"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn manifest(of: &str) -> toml::Table {
    read(&root().join(of).join("Cargo.toml")).parse().unwrap()
}

/// The folders of the workspace's crates.
fn members() -> Vec<String> {
    let manifest = manifest(".");
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

fn names(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    let section = manifest.get(section).and_then(toml::Value::as_table);
    section.map(|names| names.keys().cloned().collect()).unwrap_or_default()
}

/// Every Rust file at or below `path`.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().collect();
    let files = entries.iter().flat_map(|entry| match entry.path() {
        below if below.is_dir() => sources(&below),
        file if file.extension().is_some_and(|extension| extension == "rs") => vec![file],
        _ => Vec::new(),
    });
    files.collect()
}

/// Lines of code: without comments.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = read(file);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.map(|(at, line)| (at + 1, line.to_owned())).collect()
}

/// The code that ships: what stands before a file's tests.
fn shipped_code(file: &Path) -> Vec<(usize, String)> {
    let is_test = file
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
    if is_test {
        return Vec::new();
    }
    code(file).into_iter().take_while(|(_, line)| !line.contains("#[cfg(test)]")).collect()
}

#[test]
fn crates_know_only_what_they_may() {
    for (crate_name, forbidden) in FORBIDDEN {
        let known = names(&manifest(crate_name), "dependencies");
        for library in *forbidden {
            assert!(!known.contains(*library), "{crate_name} must not depend on {library}");
        }
    }
}

#[test]
fn only_the_store_and_its_tables_name_the_database() {
    for member in members().iter().filter(|member| !KNOW_THE_DATABASE.contains(&member.as_str())) {
        for library in names(&manifest(member), "dependencies") {
            let is_database = DATABASE_LIBRARIES.iter().any(|name| library.starts_with(name));
            assert!(!is_database, "{member} must not depend on {library}");
        }
    }
}

#[test]
fn the_contract_knows_its_openapi_only_behind_a_feature() {
    let shared = manifest("shared");
    assert_eq!(shared["dependencies"]["poem-openapi"]["optional"].as_bool(), Some(true));
    assert!(!shared["features"].as_table().unwrap().contains_key("default"));
}

#[test]
fn test_conveniences_never_ship() {
    for member in members().iter().filter(|member| *member != NEVER_SHIPS) {
        let manifest = manifest(member);
        for section in ["dependencies", "build-dependencies"] {
            let names = names(&manifest, section);
            assert!(!names.contains("testkit"), "{member} ships testkit");
            assert!(!names.contains(NEVER_SHIPS), "{member} ships {NEVER_SHIPS}");
        }
    }
    let image = read(&root().join("Dockerfile"));
    assert!(!image.contains(NEVER_SHIPS) && image.contains("-p api -p runner -p cli"));
}

#[test]
fn every_crate_keeps_the_workspaces_lints() {
    for member in members() {
        let lints = manifest(&member)["lints"]["workspace"].as_bool();
        assert_eq!(lints, Some(true), "{member}");
    }
}

#[test]
fn only_target_opens_connections() {
    for member in members().iter().filter(|member| !OPEN_CONNECTIONS.contains(&member.as_str())) {
        for file in sources(&root().join(member).join("src")) {
            for (line, code) in shipped_code(&file) {
                let opens = code.contains("TcpStream::connect") || code.contains("TcpSocket::new");
                assert!(!opens, "{}:{line} opens a connection", file.display());
            }
        }
    }
}

#[test]
fn what_is_pure_neither_waits_nor_reads_a_clock() {
    for path in PURE {
        let files = sources(&root().join(path));
        assert!(!files.is_empty(), "{path} is gone; name what took its place");
        for file in files {
            for (line, code) in shipped_code(&file) {
                for impure in IMPURE {
                    assert!(!code.contains(impure), "{}:{line} has `{impure}`", file.display());
                }
            }
        }
    }
}

#[test]
fn files_are_named_for_what_they_hold() {
    for member in members() {
        for file in sources(&root().join(&member)) {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            assert!(!FORBIDDEN_NAMES.contains(&stem), "{} says nothing", file.display());
        }
    }
}

#[test]
fn roots_and_modules_say_what_lives_there() {
    for member in members() {
        for file in sources(&root().join(&member).join("src")) {
            if matches!(file.file_name().unwrap().to_str(), Some("lib.rs" | "main.rs" | "mod.rs")) {
                assert!(read(&file).starts_with("//! "), "{} does not say", file.display());
            }
        }
    }
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = read(&root().join("docs/architecture.md"));
    for member in members() {
        assert!(
            page.contains(&format!("{member}/ ")),
            "docs/architecture.md does not name {member}/"
        );
    }
}

/// The variables that `help` lists, each as `[env: NAME=…]`.
fn listed(help: &str) -> BTreeSet<String> {
    let parts = help.split("[env: ").skip(1);
    parts
        .map(|part| part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .collect()
}

/// The variables of `.env.example`, each with the comment above it.
fn exampled() -> BTreeMap<String, String> {
    let text = read(&root().join(".env.example"));
    let mut variables = BTreeMap::new();
    let mut comment = String::new();
    for line in text.lines() {
        let assignment = line.trim_start_matches("# ").trim_start_matches('#');
        let name = assignment.split_once('=').map(|(name, _)| name).unwrap_or_default();
        let is_variable = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if is_variable {
            assert!(variables.insert(name.to_owned(), comment.clone()).is_none(), "{name} twice");
        } else if line.starts_with('#') {
            comment.push_str(line);
        }
        if is_variable || line.trim().is_empty() {
            comment.clear();
        }
    }
    variables
}

#[tokio::test]
async fn the_example_settings_are_the_settings_and_the_manual_has_them_all() {
    let mut settings: BTreeSet<String> = UNLISTED.iter().map(ToString::to_string).collect();
    let helps: [(&str, &[&str]); 4] = [
        ("api", &["--help"]),
        ("runner", &["--help"]),
        ("llm-bench", &["up", "--help"]),
        ("llm-bench", &["run", "--help"]),
    ];
    for (program, words) in helps {
        let ended = Program::new(program).args(words).run().await;
        assert_eq!(ended.code(), Some(0), "{program}: {}", ended.stderr);
        settings.extend(listed(&ended.stdout));
    }
    assert!(settings.contains("PORT") && settings.contains("RUNNER_MAX_USERS"), "{settings:?}");
    let exampled = exampled();
    let names: BTreeSet<String> = exampled.keys().cloned().collect();
    assert_eq!(names, settings, "left: .env.example, right: the programs' --help");
    for (name, comment) in exampled {
        assert!(comment.len() > 10, "{name} has no comment in .env.example");
    }
    let manual = read(&root().join("docs/operations.md"));
    for name in settings {
        assert!(
            manual.contains(&format!("`{name}`")),
            "docs/operations.md does not mention {name}"
        );
    }
}
