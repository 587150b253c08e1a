# make test runs every test and installs what it needs; .ci/run calls it.
GO      ?= go
BIN     := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.revision=$(shell git rev-parse --short HEAD 2>/dev/null) -X main.branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null)
FUZZTIME ?= 2s
# The newest that Go 1.26 builds.
GORELEASER := github.com/goreleaser/goreleaser/v2@v2.15.4
# Packages whose tests also run under the race detector: those with goroutines of their own.
RACE := ./pkg/wal/... ./pkg/ingester/... ./pkg/distributor/... ./pkg/objstore/... ./pkg/shipper/... ./pkg/compactor/... ./pkg/deletes/... ./pkg/store/... ./pkg/logql/engine/... ./pkg/querier/... ./pkg/api/... ./pkg/limits/... ./pkg/app/... ./pkg/ruler/... ./pkg/remotewrite/... ./pkg/alertmanager/... ./pkg/cache/... ./pkg/changes/... ./pkg/ring/... ./pkg/rpc/... ./pkg/auth/... ./pkg/certs/... ./pkg/trace/...

# The web page: sources in ui/, built files in pkg/ui/dist, which are committed so that go install needs no Node.
.PHONY: ui
ui: ## builds the web page anew
	cd ui && { [ -d node_modules ] || npm ci --ignore-scripts --no-audit --no-fund; } && npm run check && npm run build

.PHONY: build test tools lint unit race fuzz integration bench overhead soak clean manifests deploy-check

build: ## the binary, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/logstore ./cmd/logstore

test: tools lint unit race fuzz deploy-check integration ## everything

tools: ## what the tests need that Go does not bring
	./scripts/install-test-tools.sh

lint: ## formatting, vet and golangci-lint
	@test -z "$$(gofmt -l cmd pkg integration deploy bench)" || { gofmt -l cmd pkg integration deploy bench; echo "gofmt the files above"; exit 1; }
	$(GO) vet ./...
	$(BIN)/golangci-lint run ./...

unit: ## tests beside the code
	$(GO) test ./pkg/... ./cmd/...

race: ## the concurrent packages under the race detector
	CGO_ENABLED=1 $(GO) test -race -short $(RACE)

fuzz: ## every fuzz target for a few seconds
	./scripts/fuzz.sh $(FUZZTIME)

manifests: ## lints the Helm chart and renders deploy/kubernetes and the test cases from it; the first time builds Helm, some minutes
	cd deploy/check && $(GO) test -count=1 -run TestRendered . -update

deploy-check: ## the Kubernetes objects against their types; a module of its own, without Helm
	cd deploy/check && $(GO) vet ./... && $(GO) test ./...

# What a release is built for; goreleaser builds the first two systems.
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

cross: ## compiles for each platform
	@for p in $(PLATFORMS); do echo $$p; CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/cross/$${p%/*}-$${p#*/}/ ./cmd/logstore || exit 1; done

sbom: build ## what the binary is made of, in the format of CycloneDX
	$(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -output $(BIN)/logstore.cdx.json $(BIN)/logstore

release-check: ## checks .goreleaser.yaml and builds this platform's binary as a release does; the first time builds goreleaser, some minutes
	GOFLAGS= $(GO) run $(GORELEASER) check
	IMAGE=logstore GOFLAGS= $(GO) run $(GORELEASER) build --snapshot --single-target --clean
	dist/*/logstore -version

release-snapshot: ## a whole release without publishing; needs docker and syft
	IMAGE=logstore $(GO) run $(GORELEASER) release --snapshot --clean

integration: build ## whole processes, real servers
	LOGSTORE_BIN=$(BIN)/logstore $(GO) test -timeout 25m -parallel 6 ./integration/...

bench: ## Go benchmarks; compare two runs with benchstat
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/...

overhead: build ## processor time of three members for a line, against one member; wants a machine that does nothing else
	LOGSTORE_BIN=$(BIN)/logstore LOGSTORE_SOAK=1 $(GO) test -v -count 1 -run TestReplicationOverhead ./integration

soak: build ## the long forms of the integration tests
	LOGSTORE_BIN=$(BIN)/logstore LOGSTORE_SOAK=1 $(GO) test -timeout 4h ./integration/...

.PHONY: fresh-checkout-test
fresh-checkout-test: ## the commands of the README and the documents on a fresh clone in a root of its own; as root
	./scripts/fresh-checkout-test.sh

clean:
	rm -rf $(BIN)
