# Every step of continuous integration is a target here; `make help` lists them.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

# The images are static programs on nothing but root certificates.
MACHINE := $(shell uname -m)-unknown-linux-musl
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# Where the images are said to come from; `make image REGISTRY=registry.example.com/team` to push them there.
REGISTRY ?= weir.local
TAG ?= $(VERSION)
SEEDS ?= 1200
FUZZ_SECONDS ?= 600
CLUSTER := tests/cluster/weir-cluster
CERTIFICATES := /etc/ssl/certs/ca-certificates.crt

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show the whole product on a real cluster (DEMO_SECONDS=60, KEEP=1)
	@tests/cluster/demo

.PHONY: setup
setup: ## Install what is missing, and build Kubernetes once (10 minutes)
	@tests/cluster/install
	@$(CLUSTER) build > /dev/null

.PHONY: test
test: setup fmt-check lint verify-generated test-model ## Everything that continuous integration runs
	cargo test --all-targets
	cd tests/cluster/program && go test .

.PHONY: test-unit
test-unit: ## The tests that need no cluster, in seconds
	cargo test --lib --bins
	cd tests/cluster/program && go test .

.PHONY: test-model
test-model: ## Check the budget's argument on the code that keeps it (2 minutes)
	cargo run --profile model -p weir-budget-model

.PHONY: test-drivers
test-drivers: $(if $(filter direct pgbouncer,$(TARGET)),,build) ## Compare every answer that real client libraries get (half an hour; DRIVERS=riskiest, QUERIES=100000)
	@tests/cluster/install javac=default-jdk-headless mvn=maven /usr/include/postgresql/libpq-fe.h=libpq-dev \
	  $(if $(filter pgbouncer,$(TARGET)),pgbouncer=pgbouncer) \
	  $$(python3 -c 'import ensurepip' 2> /dev/null || echo ensurepip=python3-venv)
	@tests/drivers/run

.PHONY: test-long
test-long: setup ## The tests that take long too
	cargo test --all-targets -- --include-ignored

.PHONY: build
build: ## Build both programs as they are shipped, into target/programs/
	cargo build --locked --profile release --target $(MACHINE) --bin weir --no-default-features --features operator
	cargo build --locked --profile sidecar --target $(MACHINE) --bin weir-sidecar --no-default-features --features sidecar
	@mkdir -p target/programs
	@ln -f target/$(MACHINE)/release/weir target/$(MACHINE)/sidecar/weir-sidecar target/programs/

.PHONY: image
image: build ## Build both images as OCI archives in target/image/
	@mkdir -p target/image
	@for program in weir weir-sidecar; do \
	  $(CLUSTER) pack --name $(REGISTRY)/$$program:$(TAG) --output target/image/$$program.tar \
	    --add target/programs/$$program=/$$program --add $(CERTIFICATES)=$(CERTIFICATES) -- /$$program || exit; \
	done

.PHONY: check
check: ## Type-check everything
	cargo check --all-targets

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path tests/drivers/rust/Cargo.toml
	gofmt -w tests/cluster tests/drivers

.PHONY: fmt-check
fmt-check: ## Fail where the code is not formatted
	cargo fmt --all --check
	cargo fmt --manifest-path tests/drivers/rust/Cargo.toml --check
	@test -z "$$(gofmt -l tests/cluster tests/drivers | tee /dev/stderr)"

.PHONY: lint
lint: ## Lint, warnings as errors; the sidecar alone too, without the control plane
	cargo clippy --all-targets -- -D warnings
	cargo clippy -p weir-budget-model -p weir-bench-forwarder -- -D warnings
	cargo clippy --lib --bin weir-sidecar --no-default-features --features sidecar -- -D warnings
	cd tests/cluster/program && go vet .

.PHONY: deny
deny: ## Check licenses, sources and advisories of all crates (CHECKS="bans licenses sources": without GitHub)
	@command -v cargo-deny > /dev/null || { echo "deny: cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check -D warnings $(CHECKS)

.PHONY: generate
generate: ## Write what is generated: the CRD, and the chart's copy of it
	@mkdir -p crds
	cargo run --quiet --bin weir -- crd > crds/connectionpools.yaml
	cp crds/connectionpools.yaml charts/weir/files/connectionpools.yaml

.PHONY: verify-generated
verify-generated: generate ## Fail where what is generated is not what is committed
	git diff --exit-code -- crds charts

.PHONY: bench
bench: bench-poolers ## Measure, print tables, and write JSON lines under target/bench/ (ROUNDS=15 SECONDS=2 SCENARIOS=simple,tls PGBOUNCER=path PG_DOORMAN=path)
ifeq ($(SCENARIOS),)
	@$(MAKE) build
	cargo bench --profile dev --bench sidecar
	WEIR_PROGRAMS=$(CURDIR)/target/programs cargo bench --profile dev --bench startup
endif

.PHONY: bench-poolers
bench-poolers: ## Only the sidecar beside PgBouncer, as above (25 minutes; ROUNDS=3 SECONDS=1: 3 minutes)
	@tests/cluster/install $(if $(PGBOUNCER),,pgbouncer=pgbouncer)
	cargo bench --profile dev --bench poolers

.PHONY: bench-syscalls
bench-syscalls: ## Count system calls and instructions for a transaction, beside PgBouncer (SCENARIOS, PGBOUNCER, PG_DOORMAN as above)
	@tests/cluster/install strace=strace valgrind=valgrind $(if $(PGBOUNCER),,pgbouncer=pgbouncer)
	cargo bench --profile dev --bench poolers -- --counts

.PHONY: fuzz
fuzz: ## Compare random clients of the pool with PostgreSQL alone, from fresh seeds (FUZZ_SECONDS=600; FUZZ_SEED= runs one again)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_FROM=$${FUZZ_FROM:-$$(date +%s)00000} FUZZ_WORKERS=$${FUZZ_WORKERS:-$$(nproc)} \
	  cargo test --test fuzz -- --nocapture --include-ignored --test-threads=1 answered_like_postgresql

.PHONY: model
model: ## The same with larger bounds (half an hour), and that nothing freezes (SEEDS=1200 of each scenario)
	TRACES=1 cargo run --profile model -p weir-budget-model -- --large
	SEEDS=$(SEEDS) cargo run --profile model -p weir-budget-model -- --fair

.PHONY: simulate
simulate: ## Divide budgets in virtual time, and print the tables
	cargo bench --bench simulate

.PHONY: clean
clean: ## Remove what is built here; Kubernetes stays in the cache (~/.cache/weir)
	cargo clean
