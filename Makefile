# What to do with this repository. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

GO         ?= go
PKGS       ?= ./...
RACE       ?=        # RACE=-race looks for data races too; needs a C compiler
PARALLEL   ?= 6      # tests of a package at a time: most of them wait for a process to start, or to die
TESTFLAGS  ?=        # further flags of go test, such as -v or -run=NAME
BENCHFLAGS ?=
FUZZTIME   ?= 20s
PROFILED   ?= split,embedded,exchange,trips,events,events-soldout,events-payment
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

GOLANGCI_LINT := $(GO) tool -modfile=.ci/lint/go.mod golangci-lint
GENERATED     := '*.gen.go' '*.gen.yaml'

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/guichet, one static file
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/guichet ./cmd/guichet

.PHONY: generate
generate: ## everything that is made from openapi.yaml
	$(GO) generate ./...

.PHONY: fresh
fresh: generate ## fail if what is committed is not what is generated
	@git --no-pager diff --exit-code -- $(GENERATED)
	@untracked="$$(git ls-files --others --exclude-standard -- $(GENERATED))"; \
	if [ -n "$$untracked" ]; then echo "generated and not committed: $$untracked" >&2; exit 1; fi

.PHONY: lint
lint: ## gofmt, go vet, golangci-lint (its first run builds it: some minutes)
	@unformatted="$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l)"; \
	if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GOLANGCI_LINT) run

.PHONY: test
test: ## everything, on private MariaDB and Redis servers that are found or installed
	$(GO) run ./cmd/testbed -- $(GO) test $(RACE) -timeout 9m -parallel $(PARALLEL) $(TESTFLAGS) $(PKGS)

.PHONY: contract
contract: ## the contract as outsiders check it, against the running program
	.ci/contract/run

.PHONY: bench
bench: ## the figures of the README, with their conditions
	$(GO) run ./cmd/bench $(BENCHFLAGS)

.PHONY: profile
profile: ## cmd/guichet/default.pgo anew: what the compiler knows of where guichet spends its time
	@set -euo pipefail; profiles="$$(mktemp -d)"; trap 'rm -rf "$$profiles"' EXIT; \
	$(GO) run ./cmd/bench -profiles "$$profiles" -only $(PROFILED) -clients 256 -duration 5s; \
	$(GO) tool pprof -proto "$$profiles"/*.pprof >cmd/guichet/default.pgo

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME
	@set -euo pipefail; \
	{ git grep --untracked -lE '^func Fuzz' -- '*_test.go' || true; } | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | while read -r _ target; do \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null; \
		done; \
	done

.PHONY: clean
clean: ## remove what build has made
	rm -rf bin
