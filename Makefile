# make run     the whole service, on PORT (8000)    make test      what is quick of the tests, before each commit
# make worker  jobs from CELERY_BROKER_URL          make test-all  every test, and again as deployed
# make check   lint, types, known vulnerabilities   make chaos, make fuzz  what takes longer than a test may
# make bench   what we claim, measured

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run worker test test-all test-ready check schemas chaos fuzz bench install dev model kokoro requirements tools stock clients

run: install model
	@$(BIN)/python -m compileall -q app
	@exec $(BIN)/gunicorn wsgi:app

worker: install model
	@exec $(BIN)/celery -A app.jobs.fleet.worker worker

# Files of tests side by side, in the order of tests/conftest.py; three for two processors, because many tests wait.
# What is marked "alone" weighs memory: `make test-all` runs it by itself afterwards.
BESIDE := -n 3 --dist loadfile --no-loadscope-reorder
# As deployed: without docstrings and asserts. What is about the machine need not be seen twice, nor engines, whose
# processes are always started without PYTHONOPTIMIZE.
OPTIMIZED := -W ignore::pytest.PytestConfigWarning --ignore tests/test_memory_limit.py --ignore tests/test_optimized.py \
	--ignore tests/engine_process --ignore tests/jobs/fleet/test_worker.py --ignore tests/test_worker.py \
	--ignore tests/jobs/fleet/test_flower.py --ignore tests/jobs/fleet/test_sqs.py \
	--ignore tests/chaos --ignore tests/browser --ignore tests/hostile --ignore tests/fuzz --ignore tests/clients \
	--ignore tests/http/test_schemathesis.py --ignore tests/http/test_openai_node.py \
	--ignore tests/http/test_monitoring.py --ignore tests/cli/test_doctor.py --ignore tests/test_smoke.py \
	--ignore tests/test_deploy.py

test: test-ready
	$(BIN)/pytest $(BESIDE) -m "not long and not alone"

test-all: test-ready kokoro clients
	@failed=0; \
	$(BIN)/pytest $(BESIDE) -m "not alone" || failed=1; \
	$(BIN)/pytest -m alone || failed=1; \
	PYTHONOPTIMIZE=2 $(BIN)/pytest $(BESIDE) $(OPTIMIZED) || failed=1; \
	exit $$failed

test-ready: dev model stock tests/node/node_modules tests/browser/node_modules tools
	$(BIN)/python -m compileall -q -o 0 -o 2 app

check: dev schemas
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/audit.py
	$(BIN)/uv pip compile --quiet --python-version 3.10 --group dev > /dev/null # the oldest Python can install it

# What hosts and tools read, against their schemas.
schemas: dev
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/pre-commit validate-config .pre-commit-config.yaml

# Every process is killed at random while there are jobs to do; `make test-all` has a shorter form.
chaos: dev model tools
	CHAOS=full $(BIN)/pytest tests/chaos

# Our own parsers, for ten minutes; `make test-all` has 10,000 inputs each. What breaks one is in the message.
fuzz: dev
	FUZZ_SECONDS=$${SECONDS_EACH:-600} $(BIN)/pytest tests/fuzz -k "nothing or guided"

bench: dev model kokoro tests/browser/node_modules tools
	$(BIN)/python -m benchmarks

install: $(VENV)/installed
dev: $(VENV)/installed-dev

$(VENV)/installed: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

# OpenAI's client for Node, and what drives a browser, where there is Node; their tests are skipped elsewhere.
tests/%/node_modules: tests/%/package-lock.json
	@! command -v npm >/dev/null || npm ci --prefix tests/$* --no-audit --no-fund --silent
	@test ! -d $@ || touch $@

model: $(VENV)/installed
	@$(BIN)/python -m app models fetch

# The weights as they are published, for the package this service is compared with.
stock: model
	@WHISPER_BACKEND=faster-whisper $(BIN)/python -m app models fetch tiny.en

# Natural voices in more languages, 90 MB: for `make test-all` and `make bench`.
kokoro: $(VENV)/installed
	@$(BIN)/python -m app voices fetch kokoro

# Clients of other makers for live transcription, 800 MB in an environment of their own: for `make test-all`.
clients: $(VENV)/clients/installed

$(VENV)/clients/installed: tests/clients/requirements.txt
	@test -x $(VENV)/clients/bin/python || $(BIN)/python -m venv $(VENV)/clients
	$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Real parts that tests talk to, where this machine lets us install them; elsewhere those tests say so and are skipped.
tools:
	@missing=; for tool in redis-server rabbitmq-server chromium prometheus; do \
		command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null; }

requirements: dev
	$(BIN)/uv pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url --quiet \
		--custom-compile-command "make requirements" requirements.in --output-file requirements.txt
