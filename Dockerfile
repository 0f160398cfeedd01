# One image for every program: `api`, `runner` and `llm-bench`.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# `dist`: thin LTO, worth its minutes in an image that runs for months.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --profile dist --locked --bins -p api -p runner -p cli \
 && mkdir /programs \
 && cp target/dist/api target/dist/runner target/dist/llm-bench /programs/

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin bench \
 && install --directory --owner bench --group bench --mode 700 /data
COPY --from=build /programs/ /usr/local/bin/
USER bench
WORKDIR /data
ENV DATA_DIR=/data
VOLUME /data
EXPOSE 8000
CMD ["llm-bench", "up", "--host", "0.0.0.0"]
