# backchat's commands. `make help` lists them.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/backchat/target

LISTEN ?= 127.0.0.1:8080
DATA ?= ./data
# Where the root keys are: beside DATA when nothing is said.
ROOTS ?=
MINUTES ?= 2
# How many seeds workers are killed with, and how many workers with each.
SEEDS ?= 50
KILLS ?= 6
# What images are for: the machine itself when nothing is said.
PLATFORM ?=

# How many of each piece that scales `make cluster` starts, and where people come in.
GATEWAYS ?=
WORKERS ?=
AUTH ?=
CLUSTER_LISTEN ?= 127.0.0.1:8443

# Which procedures of docs/operations are practised: none named, all.
DRILLS ?=

# Where the built programs are, and the tools that `make` installs for itself.
BIN := $(CARGO_TARGET_DIR)/debug
TOOLS := $(HOME)/.cache/backchat/tools

CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2

# How long each decoder is fuzzed, and which: none named, all.
FUZZ_MINUTES ?= 10
TARGETS ?=

# How often each benchmark is run, and which: none named, all.
REPEAT ?= 3
WORKLOADS ?=

# A test run that takes longer than this hangs.
TEST_TIMEOUT := 45m

# The programs of others that tests and clusters run, fetched or compiled at the first call.
EXPORT_SERVERS = NATS_SERVER=$$(scripts/nats-server) && SURREALDB_SERVER=$$(scripts/surrealdb-server) && ENVOY=$$(scripts/envoy) \
	&& export NATS_SERVER SURREALDB_SERVER ENVOY

.DEFAULT_GOAL := help
.PHONY: help run test faults kills build bin lint bench bench-against fuzz autobahn cluster cluster-roll cluster-scale verify-cluster drill check-deploy metrics-page capacity capacity-page images check-images verify-kubernetes

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make run takes LISTEN=127.0.0.1:8080, DATA=./data and ROOTS=./data-roots"
	@echo "  make bench takes REPEAT=3 and WORKLOADS=\"fanout20 rooms\""
	@echo "  make drill takes DRILLS=\"lose-the-database rotate-keys\""
	@echo "  make faults takes MINUTES=2 and SEED=a number; the same seed strikes the same faults"
	@echo "  make kills takes SEEDS=50, KILLS=6 and SEED=1, the first of them; the same seed kills at the same moments"
	@echo "  make fuzz takes FUZZ_MINUTES=10 and TARGETS=\"event token\""

run: ## Build the chat and run it: LISTEN is its address, DATA the folder with everything in it, ROOTS that of the root keys
	@if [ -x $(BIN)/backchat ]; then echo "Building what changed, then starting the chat on $(LISTEN) with its data in $(DATA)."; \
	else echo "Building backchat and starting it on $(LISTEN) with its data in $(DATA)."; \
	echo "The first build compiles about 450 libraries, a whole database among them: some 8 minutes on two cores, seconds from then on."; fi
	@scripts/compiler
	@server=$$(scripts/nats-server) \
	&& cargo build --package backchat \
	&& exec $(BIN)/backchat --listen "$(LISTEN)" --data "$(DATA)" $(if $(ROOTS),--roots "$(ROOTS)") --nats-server "$$server"

build: ## Build every program, for the tests and for running the pieces apart
	@scripts/compiler
	cargo build --workspace

bin: ## Print the folder with the built programs
	@echo $(BIN)

test: build ## Run every test, the ones with a real NATS server, a real browser and a whole cluster too
	@scripts/chromium
	@command -v curl >/dev/null || scripts/apt-install curl
	@$(EXPORT_SERVERS) && timeout --kill-after=30s $(TEST_TIMEOUT) cargo test --workspace --no-fail-fast
	@$(MAKE) --no-print-directory check-deploy verify-cluster check-images

check-deploy: build ## Check the chart, the alerts and the dashboards in deploy/
	deploy/checks/run --programs $(BIN)
	deploy/observability/check --bin $(BIN)

metrics-page: ## Write docs/operations/metrics.md, the reference of what the services count, anew
	@scripts/compiler
	WRITE_METRICS_PAGE=1 cargo test --quiet --workspace --test metrics_page

capacity: ## Reckon what an installation needs: OF="connections=50000 room=30 together", see docs/operations/capacity.md
	@scripts/compiler
	@cargo run --quiet --package bench --bin bench -- capacity $(OF)

capacity-page: ## Write the tables of docs/operations/capacity.md anew
	@scripts/compiler
	WRITE_CAPACITY_PAGE=1 cargo test --quiet --package bench --test capacity_page

images: ## Build an image of each program, with what is in it and how it was made beside it: PLATFORM="linux/amd64 linux/arm64"
	deploy/images/build $(PLATFORM)

check-images: ## Build the images twice and start them as Kubernetes does: as nobody, read-only, without rights: PLATFORM
	@server=$$(scripts/nats-server) && deploy/images/check --nats-server "$$server" $(PLATFORM)

bench: ## Run the benchmarks against a gateway built for speed; BENCHMARKS.md says what the figures mean
	@scripts/compiler
	cargo build --release --package gateway --package broker --package bench
	@ulimit -n $$(ulimit -Hn) \
	&& NATS_SERVER=$$(scripts/nats-server) $(CARGO_TARGET_DIR)/release/bench --repeat $(REPEAT) \
		--out $(CARGO_TARGET_DIR)/bench.jsonl $(WORKLOADS) \
	&& echo "Each run is a line of $(CARGO_TARGET_DIR)/bench.jsonl."

bench-against: ## Compare benchmarks with those of another commit, by turns in pairs: COMMIT, WORKLOADS, REPEAT pairs
	@scripts/compiler
	@ulimit -n $$(ulimit -Hn) \
	&& NATS_SERVER=$$(scripts/nats-server) scripts/bench-against "$(COMMIT)" "$(REPEAT)" $(WORKLOADS)

faults: build ## Kill, pause, cut and fill everything under load, then audit what was lost: SEED, MINUTES
	@NATS_SERVER=$$(scripts/nats-server) $(BIN)/faults --minutes "$(MINUTES)" $(if $(SEED),--seed "$(SEED)")

kills: ## Kill history workers at random moments while they replay, take over, snapshot and erase: SEEDS, KILLS, SEED
	@scripts/compiler
	@NATS_SERVER=$$(scripts/nats-server) && SURREALDB_SERVER=$$(scripts/surrealdb-server) && export NATS_SERVER SURREALDB_SERVER \
	&& scripts/kills "$(SEEDS)" "$(KILLS)" $(SEED)

CLUSTER_SIZE = $(if $(GATEWAYS),--gateways $(GATEWAYS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(AUTH),--auth $(AUTH))

cluster: build ## Run every piece as a process of its own, as in production: GATEWAYS, WORKERS, AUTH; cluster.json lists them
	@$(EXPORT_SERVERS) && exec $(BIN)/cluster up --listen $(CLUSTER_LISTEN) $(CLUSTER_SIZE)

cluster-roll: ## Replace every process of the running cluster, one at a time
	@$(BIN)/cluster order roll

cluster-scale: ## Have more or fewer in the running cluster: GATEWAYS, WORKERS, AUTH
	@$(BIN)/cluster order scale $(if $(GATEWAYS),gateways=$(GATEWAYS)) $(if $(WORKERS),workers=$(WORKERS)) $(if $(AUTH),auth=$(AUTH))

verify-cluster: build ## Replace and kill everything in a cluster while 500 clients talk, then audit what was lost
	@$(EXPORT_SERVERS) \
	&& $(BIN)/cluster verify --listen $(CLUSTER_LISTEN) --folder $(CARGO_TARGET_DIR)/cluster --list $(CARGO_TARGET_DIR)/cluster.json $(CLUSTER_SIZE)

drill: build ## Do what docs/operations says to a cluster of its own, as it is written there, while people talk: DRILLS
	@$(EXPORT_SERVERS) && $(BIN)/cluster drill $(DRILLS) --listen $(CLUSTER_LISTEN) --folder $(CARGO_TARGET_DIR)/drill

verify-kubernetes: build ## Install the chart on a real Kubernetes of this machine, upgrade, scale, drain and hurt it under load, then audit what was lost
	@deploy/kubernetes/verify $(BIN)

fuzz: $(TOOLS)/bin/cargo-fuzz-$(CARGO_FUZZ) ## Fuzz each decoder of what comes from outside: FUZZ_MINUTES, TARGETS
	@scripts/fuzz $< "$(FUZZ_MINUTES)" $(TARGETS)

autobahn: ## Run the Autobahn suite against the gateway's WebSocket; it needs a Python 2.7
	@scripts/autobahn

lint: $(TOOLS)/bin/cargo-deny-$(CARGO_DENY) ## Check form, lints, licences and which crate may use what
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fmt --manifest-path tests/surrealdb-server/Cargo.toml --check
	cargo clippy --workspace --all-targets -- --deny warnings
	scripts/deny $(TOOLS)/bin/cargo-deny-$(CARGO_DENY)
	! cargo tree --package gateway --edges normal | grep --extended-regexp 'surrealdb|argon2|tantivy'
	! cargo tree --package search-worker --edges normal | grep --extended-regexp 'surrealdb|argon2'
	! cargo tree --package history-worker --edges normal | grep --extended-regexp 'sealing|keyring'

# A tool of Rust's own, by name, version and how long it takes. Built without optimisation: it runs for a second, and builds in a
# third of the time.
define cargo-tool
	@echo "Building $(1) $(2) once, $(3)."
	@scripts/compiler
	CARGO_TARGET_DIR=$(TOOLS)/target cargo install --quiet --locked --debug --root $(TOOLS) $(1)@$(2)
	mv $(TOOLS)/bin/$(1) $@
	rm -rf $(TOOLS)/target
endef

$(TOOLS)/bin/cargo-deny-$(CARGO_DENY):
	$(call cargo-tool,cargo-deny,$(CARGO_DENY),about 3 minutes)

$(TOOLS)/bin/cargo-fuzz-$(CARGO_FUZZ):
	$(call cargo-tool,cargo-fuzz,$(CARGO_FUZZ),about a minute)
