# The server on its own: the binary, the C library it was linked against and certificates. No shell, no packages.
#
#   docker build -t proxq .
#   podman build --format docker -t proxq .     # the default format, OCI, has no HEALTHCHECK

FROM docker.io/library/rust:1.95.0-slim-trixie AS build
WORKDIR /src

# The allocator is built by make.
RUN command -v make >/dev/null \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends make && rm -rf /var/lib/apt/lists/*; }

# On ARM, Linux has pages of 4, 16 or 64 KiB: the allocator is built for the largest, and works with all.
RUN [ "$(uname -m)" != aarch64 ] || printf '[env]\nJEMALLOC_SYS_WITH_LG_PAGE = "16"\n' >>"${CARGO_HOME:-/usr/local/cargo}/config.toml"

# The dependencies first, with empty sources: this layer is built anew only when a manifest changes. All members of the
# workspace have to be there, since Cargo.lock speaks of all of them.
COPY Cargo.toml Cargo.lock ./
COPY proxq-protocol/Cargo.toml proxq-protocol/
COPY proxq-server/Cargo.toml proxq-server/
COPY proxq-client/Cargo.toml proxq-client/
COPY proxq-openai/Cargo.toml proxq-openai/
COPY examples/Cargo.toml examples/
COPY tests/Cargo.toml tests/
COPY proxq-bench/Cargo.toml proxq-bench/
# Where crates.io cannot be reached and the registry is mounted at /usr/local/cargo/registry: true.
ARG CARGO_NET_OFFLINE=false
# Copied sources keep their dates and would look older than what was built from the empty ones: that is cleaned away.
RUN for member in proxq-protocol proxq-server proxq-client proxq-openai examples tests proxq-bench; do \
        mkdir "$member/src" && touch "$member/src/lib.rs" || exit; \
    done \
    && echo 'fn main() {}' >proxq-server/src/main.rs \
    && cargo build --locked --profile dist -p proxq-server --bin proxq \
    && cargo clean --locked --profile dist -p proxq-protocol -p proxq-server

COPY proxq-protocol proxq-protocol
COPY proxq-server proxq-server
RUN cargo build --locked --profile dist -p proxq-server --bin proxq

# What the final image has: the libraries where the loader looks for them, names resolved by files and DNS, and the
# public certificates, which a file mounted in their place replaces.
RUN mkdir -p /image/root/usr/local/bin /image/root/etc /image/data/proxq \
    && cp target/dist/proxq /image/root/usr/local/bin/ \
    && ldd target/dist/proxq | grep -o '/[^ ]*' | xargs cp -L --parents -t /image/root \
    && cp -L --parents -t /image/root /etc/ssl/certs/ca-certificates.crt \
    && echo 'hosts: files dns' >/image/root/etc/nsswitch.conf

FROM scratch
COPY --from=build /image/root/ /
# A folder in a folder, so that it is copied with its owner; a volume that is mounted there for the first time takes that over.
COPY --from=build --chown=65532:65532 /image/data/ /var/lib/

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="proxq" \
      org.opencontainers.image.description="A durable asynchronous HTTP proxy: any request becomes a job, its exact response is fetched later" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Loopback would reach nobody outside. A file that has listenAddress, and --listen, win over this.
ENV PROXQ_DEFAULT_LISTEN=:8080
# The default dataDir, proxq-data, is in the current folder. Large bodies wait there, too: the rest may be read-only.
ENV TMPDIR=/var/lib/proxq
WORKDIR /var/lib/proxq
VOLUME /var/lib/proxq
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s --retries=3 CMD ["/usr/local/bin/proxq", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/proxq"]
