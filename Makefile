# `make help` lists the targets. `make test` is all that CI runs as tests, and what README names.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
DENY_VERSION := 0.20.2
LLVM_COV_VERSION := 0.9.1
# End-to-end tests wait more than they compute.
TEST_THREADS ?= 8
# In the order in which they depend on each other.
PUBLISHED := proxq-protocol proxq-client proxq-openai proxq-server

.DEFAULT_GOAL := help
.PHONY: help dep lint test test-faults test-coverage bench bench-quick bench-build schema package dist build image-test ci

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

dep: ## install what the tests need beside Rust (curl, nginx, redis-server, Node.js, Python, httpbin, SDKs, promtool, Chromium)
	tests/dep.sh

lint: ## format, clippy and rustdoc, warnings denied; licences, bans and sources of all dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --document-private-items
	command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny@$(DENY_VERSION)
	$(CARGO) deny --locked check licenses bans sources

test: dep ## unit, property, contract, end-to-end, documentation and example tests
	$(CARGO) build --workspace --all-targets --locked
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --workspace --locked

test-faults: ## the long form of the trials by kill -9, large bodies, closing connections and generated requests; needs some 10 GiB of disk
	PROXQ_TEST_KILLS=25 PROXQ_TEST_BODIES=20 PROXQ_TEST_BODY_MIB=100 PROXQ_TEST_DIRECT_MIB=1024 PROXQ_TEST_CASES=5000 PROXQ_TEST_REUSES=1000 \
		$(CARGO) test --locked -p proxq-tests --test e2e -- --nocapture recovery memory direct::large differential kept_connections

bench: dep bench-build ## proxq beside nginx, Redis, SQLite and direct requests, in 20 minutes
	target/release/proxq-bench

bench-quick: dep bench-build ## the same in three minutes, with shorter rounds and smaller bodies and queues
	target/release/proxq-bench --quick

bench-build:
	$(CARGO) build --release --locked --bin proxq --bin proxq-bench

schema: ## write config.schema.json and config.yaml.example anew, after a change to the configuration's keys
	PROXQ_WRITE_SCHEMA=1 $(CARGO) test --quiet --locked --workspace --lib -- is_checked_in_is_up_to_date

test-coverage: dep ## the same with a report of line coverage; fails below 90 % of the library crates
	command -v cargo-llvm-cov >/dev/null || $(CARGO) install --quiet --locked cargo-llvm-cov@$(LLVM_COV_VERSION)
	RUST_TEST_THREADS=$(TEST_THREADS) tests/coverage.sh

package: ## the published crates as they are uploaded, each unpacked and built from its own files; wants a clean checkout
	$(CARGO) package --locked $(PUBLISHED:%=-p %)

dist: ## the server as releases have it, target/dist/proxq, or with TARGET=… for another machine; slow to build
	$(CARGO) build --profile dist --locked -p proxq-server --bin proxq $(if $(TARGET),--target $(TARGET))

build: ## the container image, with docker, podman or buildah (ENGINE=…), under the name proxq (IMAGE=…)
	packaging/image.sh

image-test: ## the same, and jobs through a container of it: user, healthcheck, volume, drain, size; as root with buildah
	tests/image/test.sh

ci: lint test ## what .ci/run runs
