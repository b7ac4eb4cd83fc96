# Two commands do everything on a fresh machine with Python >= 3.10 and make:
#   make quickstart   sets up and runs the main job
#   make test         sets up and passes the tests
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
AUDIT  := 2.10.1
STAMP  := $(VENV)/.installed

.PHONY: help env quickstart test fast test-all coverage lint docs man perf reliability fuzz lock sbom wheel release audit clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

env: $(STAMP)  ## Create .venv with everything for development (about 6 GB with CUDA builds; 1 to 10 minutes)

$(STAMP): pyproject.toml setup.py requirements.lock tools.lock
	@echo "Creating $(VENV): pinned versions from requirements.lock; 1 to 10 minutes, by the network."
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed, this is %d.%d" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tools.lock
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

quickstart: env  ## Faces, training from the shipped model, label fine-tuning, a page (about 5 minutes on two cores)
	@echo "Running configs/quickstart.yaml into runs/quickstart: about 5 minutes on two cores; a second run does nothing."
	$(BIN)/synthforge run configs/quickstart.yaml --out runs/quickstart
	@echo "Open runs/quickstart/page/overview.html"

test: env  ## Lint, type-check and run the fast tests (under 10 minutes on two cores)
	@echo "Linting, type checking and the fast tests: under 10 minutes on two cores."
	$(MAKE) --no-print-directory -j 2 lint fast

fast: env  ## The fast tests alone
	$(BIN)/pytest -n 2 --dist loadfile

test-all: env  ## Every test, slow ones and those on real photographs included
	$(BIN)/pytest -n 2 --dist loadfile -m ''

coverage: env  ## Lines and branches that the fast tests run, child processes included
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: env  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check synthforge plugins tests perf studies setup.py
	$(BIN)/mypy synthforge plugins
	$(BIN)/lint-imports --no-cache

docs: env  ## Build the manual into site/, every link checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Open site/index.html"

man: env  ## A manual page for every command, in build/man
	$(BIN)/python distribution/man.py build/man

perf: env  ## The ratio tables of perf/
	for file in perf/*.py; do $(BIN)/python $$file || exit 1; done

reliability: env  ## Break every command on purpose, and write docs/reliability.md (hours)
	$(BIN)/python studies/reliability.py --trials 1500 --flips 330 --json runs/reliability.jsonl --page docs/reliability.md

fuzz: env  ## Hostile bytes for every reader by atheris, into docs/reliability.md (SECONDS=60 each: 35 minutes)
	$(BIN)/uv pip install --quiet --python $(BIN)/python atheris==3.0.0
	$(BIN)/python studies/fuzz.py --seconds $(or $(SECONDS),60) --json runs/fuzz.jsonl --page docs/reliability.md

lock: env  ## Resolve requirements.lock anew, for every platform
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 \
	  --constraint constraints.txt --generate-hashes --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml distribution/container.in --extra predict --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	  --constraint requirements.lock --override distribution/without-torch.txt --generate-hashes --no-annotate \
	  --output-file distribution/container.txt
	$(BIN)/python docs/licences.py

sbom: env  ## What is installed, as CycloneDX: dist/synthforge.cdx.json
	mkdir -p dist
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --of JSON -o dist/synthforge.cdx.json

wheel: env  ## The wheel in dist/, the same bytes from the same commit
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --wheel --outdir dist

release: env  ## Sources, wheel, SBOM, notes and checksums in an empty dist/, the same bytes from the same commit
	$(BIN)/python distribution/release.py

$(VENV)/.audit: tools.lock
	$(PYTHON) -m venv $(VENV)/.audit
	$(VENV)/.audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tools.lock

audit: $(VENV)/.audit  ## Known vulnerabilities of what requirements.lock pins; says SKIPPED where the data cannot be reached
	@$(VENV)/.audit/bin/uv tool run pip-audit==$(AUDIT) --requirement requirements.lock --require-hashes --disable-pip \
	  --progress-spinner off > $(VENV)/audit.log 2>&1; code=$$?; \
	missed=$$(grep -c 'could not be audited' $(VENV)/audit.log); pinned=$$(grep -c '^[A-Za-z0-9].*==' requirements.lock); \
	if ! grep -q '^Found .* known vulnerabilit' $(VENV)/audit.log && { [ $$((2 * missed)) -gt $$pinned ] || { [ $$code != 0 ] && \
	  grep -qE 'ConnectionError|ServiceError|Max retries|Failed to fetch' $(VENV)/audit.log; }; }; then \
	  echo "SKIPPED: the data on vulnerabilities cannot be reached from here; see $(VENV)/audit.log"; \
	else cat $(VENV)/audit.log; exit $$code; fi

clean:  ## Remove the environment and caches, never runs/
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
