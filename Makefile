# Everything a person does with this repository. Tools are run at pinned versions and never enter go.mod.

GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

# No C: the programs are static files that start without a loader, and what is tested is what is released.
export CGO_ENABLED = 0

# Two packages at once: their tests start servers, and two cores are what a small machine has. Bounded, so that a test that hangs names itself; the
# bound of Go itself, 10 minutes, is too low for cmd/cofre on a slow machine.
TESTFLAGS ?= -p 2 -timeout 25m
# Under this tag the keys of a new repository, its own and that of its WAL, are derived at once, where a release takes 0.2 s each time one is opened, and the tests
# open thousands. What test/docs and demo run is built without it, as a release is, and a test looks at the derivation of a release.
TAGGED    = GOFLAGS="-tags=testing $$GOFLAGS"
FUZZTIME  ?= 30s
# The majors that are tested besides PostgreSQL 15. Incremental base backups begin with 17.
PG        ?= 17 18

# What may not be missing: a test whose service is not there then fails, so that nothing is skipped silently.
REQUIRED = postgres,s3,zstd,prometheus$(if $(PG),$(shell printf ',postgres-%s' $(PG)))

# The packages whose tests start no server.
QUICK = $(shell go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | grep -v /internal/testkit | grep testing | cut -d ' ' -f 1)

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
RELEASE  = -X github.com/trustlayer/cofre/cmd/internal/edge.release=$(VERSION)
SOURCES  = $(shell git ls-files --cached --others --exclude-standard '*.go')

.DEFAULT_GOAL := help
.PHONY: help build release demo test quick check fmt format vet static vulnerabilities bench services fuzz golden shape prose clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Built as the tests are, so that what they compiled is not compiled again.
build: ## build bin/cofre and bin/cofre-wal
	@mkdir -p bin
	go build -ldflags '-s -w $(RELEASE)' -o bin/ ./cmd/cofre ./cmd/cofre-wal

release: ## build dist/cofre and dist/cofre-wal, the same wherever they are built
	@mkdir -p dist
	go build -trimpath -ldflags '-s -w $(RELEASE)' -o dist/ ./cmd/cofre ./cmd/cofre-wal

demo: build ## back up, destroy and restore a real installation, before your eyes (KEEP=1 leaves it running)
	@demo/postgresql.sh
	@bin/cofre demo $(if $(KEEP),--keep)

test: services ## install what the tests talk to, and run every test against it (without services: go test ./...)
	clusters=$$(mktemp -d) && chmod 755 $$clusters && trap "rm -rf $$clusters" EXIT && \
	$(TAGGED) COFRE_REQUIRE=$(REQUIRED) COFRE_CLUSTERS=$$clusters go test $(TESTFLAGS) ./...

# What depends on the order of tests, or on two things running at once, shows itself here.
quick: ## run the tests that need no server: twice in random order, and once on one processor
	$(TAGGED) go test $(TESTFLAGS) -shuffle=on -count=2 $(QUICK)
	$(TAGGED) GOMAXPROCS=1 go test $(TESTFLAGS) -count=1 $(QUICK)

check: format vet static vulnerabilities ## check format, vet, staticcheck, known vulnerabilities, and the heights of the house
	go test -count=1 .

fmt: ## write every file as gofmt and gofumpt want it
	go run $(GOFUMPT) -w $(SOURCES)

format:
	@wrong=$$(gofmt -l $(SOURCES)); [ -z "$$wrong" ] || { echo "not gofmt'ed:"; echo "$$wrong"; exit 1; }
	@wrong=$$(go run $(GOFUMPT) -l $(SOURCES)); [ -z "$$wrong" ] || { echo "not gofumpt'ed (make fmt writes them):"; echo "$$wrong"; exit 1; }
	@echo "format: gofmt and gofumpt agree"

vet:
	go vet ./...

static:
	go run $(STATICCHECK) ./...

# The database of vulnerabilities is on the internet. Where it cannot be reached nothing was checked, and the
# line says so; a finding fails.
vulnerabilities:
	@out=$$(go run $(GOVULNCHECK) ./... 2>&1); code=$$?; \
	if [ $$code = 0 ]; then echo "vulnerabilities: none known that this code calls"; \
	elif echo "$$out" | grep -q 'fetching vulnerabilities'; then \
		echo "vulnerabilities: NOT CHECKED, the database vuln.go.dev cannot be reached from here"; \
	else echo "$$out"; exit 1; fi

bench: build ## measure beside pg_dump, pg_restore and pgBackRest, interleaved (BENCH="-rounds 3 dump restore" picks)
	go run ./bench $(BENCH)

services: ## install what the tests talk to: PostgreSQL 15, versitygw, Prometheus, and the majors of PG (17 18), unpacked into .services
	internal/testkit/services.sh $(PG)

fuzz: ## fuzz every parser, FUZZTIME (30s) each
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:func /:/' | while IFS=: read -r file name; do \
		echo "$$name in $$(dirname $$file)"; \
		go test $$(dirname $$file) -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x || exit 1; \
	done

golden: ## write golden files anew; look at the difference before it is committed
	go test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' . | xargs -n 1 dirname | sort -u) -update

shape: ## print the sizes of packages, files and functions: a compass, not a fence
	@echo "lines by package"; for d in $$(dirname $(SOURCES) | sort -u); do \
		printf '%7d %s\n' $$(cat $$d/*.go | wc -l) $$d; done
	@echo "files past 500 lines"; wc -l $(SOURCES) | awk '$$1 > 500 && $$2 != "total" { printf "%7d %s\n", $$1, $$2 }'
	@echo "functions past 45 lines, tests left out"; awk 'FNR == 1 { open = "" } \
		/^func / { open = $$0; first = FNR } \
		/^}/ && open != "" { if (FNR - first >= 45 && FILENAME !~ /_test.go/) { sub(/ *{$$/, "", open); printf "%7d %s: %s\n", FNR - first + 1, FILENAME, open }; open = "" }' $(SOURCES)

# Conditions are said with if, times with when, places with where; these words are where a sentence went another way.
BASE ?= HEAD~1
prose: ## count the words that make English hard to read in what a change since BASE (HEAD~1) adds
	@git diff $(BASE) -- '*.go' '*.md' ':!docs/pt-BR' ':!*.pt-BR.md' | grep '^+[^+]' | grep -E '^\+[^"]*//|^\+[^	]' \
		| grep -owiE 'where|if|when|shall|whom|beside|dear|but for|that of|those of|of which' | tr 'A-Z' 'a-z' | sort | uniq -c | sort -rn

clean: ## remove what was built
	rm -rf bin dist
