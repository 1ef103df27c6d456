# The front door: everything that can be done here, with nothing installed but Python, make and
# a C library. "make help" lists it.

# Another interpreter: make PYTHON=python3.12 test. After a change of it: make clean first.
PYTHON ?=
# For pytest, four workers unless told otherwise, of which two mostly wait on a machine with two
# cores; who is done takes over from the others: make test PYTEST_ARGS="-k dict"
PYTEST_ARGS ?= -n 4 --dist worksteal
# More for the benchmarks: make bench BENCH_ARGS="--quick"
BENCH_ARGS ?=
# Inputs of a fuzzer
FUZZ ?= 30000

# Of the cluster of "make test-cluster"
MASTERS ?= 3

# One of the models, or one configuration of it: make model MODEL="holds fence=0 takes=2"
MODEL ?=
# For the random histories: how long, and from which seed
CHAOS ?= --seconds 600 --seed 1
# For the explorer, see tests/explore/README.md
EXPLORE ?=
# Arguments of pytest, for the tests over several engines
ENGINES ?= -n 2 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Tests start hundreds of interpreters. One that finds no .pyc files, and may not write them, takes
# more than twice as long to import the library; pytest itself compiles every test in each worker.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test compile strict fuzz interrupts chaos damage model explore test-frameworks test-engines test-cluster check format bench docs lock clean
.DELETE_ON_ERROR:

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{printf "%-23s %s\n", $$1, $$2}'

demo: $(VENV)/.server ## two programs written for multiprocessing, with one import changed
	@for program in examples/seed_dict.py examples/seed_namespace.py; do \
	    echo "--- $$program"; $(BIN)/python $$program || exit 1; \
	done

test: $(VENV)/.dev ## all tests; PYTEST_ARGS="-k dict" for some
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# Four workers that find nothing compiled compile everything four times, a quarter of a minute.
compile: $(VENV)/.dev
	@said=$$($(BIN)/python -m pytest --quiet --collect-only 2>&1) || { echo "$$said"; exit 1; }

# A sample for each change; with STRICT=tests all of them, a third more CPU time than without.
STRICT ?= tests/tour tests/manager/test_ends.py tests/synchronisation/test_api.py \
    tests/queues/test_api.py tests/hosted/test_parity.py tests/pool/test_api.py
strict: $(VENV)/.dev ## tests of what each type does, under python -bb -X dev -W error; STRICT=tests for all
	@$(BIN)/python -bb -X dev -W error -m pytest -n 4 --dist worksteal $(STRICT)

test-frameworks: $(VENV)/.frameworks ## tests with the real gunicorn, gevent and Celery, which it installs
	@$(BIN)/python -m pytest -n 2 tests/frameworks

test-engines: $(VENV)/.dev build/engines/.installed ## part of the tests over each server program of wheels and PATH: Redis 6.2 to 8, Valkey 8 and 9; ENGINES="tests/tour" for others
	@$(BIN)/python scripts/engines.py $(ENGINES)

fuzz: $(VENV)/.dev ## all that reads bytes of a server, with 30,000 altered inputs for each reader; FUZZ=1000 for fewer
	@MULTIHOST_FUZZ=$(FUZZ) $(BIN)/python -m pytest --timeout 0 tests/unit/test_hostile_bytes.py tests/fuzz

interrupts: $(VENV)/.dev ## an exception at every bytecode of the calls that take something, not only at a sample
	@MULTIHOST_INTERRUPTS=1 $(BIN)/python -m pytest --timeout 900 -n 2 tests/interrupts tests/pool/test_interrupts.py

chaos: $(VENV)/.dev ## processes are killed by the thousand, masters die and slots move, for minutes; CHAOS="--seconds 3600 --seed 7" for longer
	@MULTIHOST_CHAOS=1 $(BIN)/python -m pytest -n 2 --timeout 600 tests/chaos tests/faults/test_queue_order.py
	@$(BIN)/python -m tests.chaos $(CHAOS)
	@$(BIN)/python -m tests.chaos --way moving $(CHAOS)

model: $(VENV)/.dev ## the rules of docs/holds.md and docs/lifetimes.md, in larger configurations than the tests explore
	@$(BIN)/python -m tests.model $(MODEL)

explore: $(VENV)/.dev ## every order of the requests of two clients, with a fault at each; hours. EXPLORE="lock --bound 1" for less
	@$(BIN)/python -m tests.explore $(EXPLORE)

damage: $(VENV)/.dev ## every way to damage each key on a server, beside what lists and uses it
	@MULTIHOST_DAMAGE=1 $(BIN)/python -m pytest -n 2 --timeout 0 tests/damage

# What is about one server stays away: proxies before it, its settings, its death.
ON_CLUSTER := tests/tour tests/objects tests/queues tests/synchronisation tests/hosted tests/pool tests/pickling
test-cluster: $(VENV)/.dev ## what objects do, with a cluster of three masters as the server that tests share; MASTERS=1 for one
	@MULTIHOST_TEST_CLUSTER=$(MASTERS) $(BIN)/python -m pytest $(PYTEST_ARGS) $(ON_CLUSTER)

check: $(VENV)/.dev ## format, lint, types, import layers, headers of the Lua files, docs/protocol.md, hot calls
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.typing
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m multihost.wire.script.check
	@$(BIN)/python scripts/protocol.py --check
	@$(BIN)/python -m bench.opcodes --check

format: $(VENV)/.dev ## what "make check" can put right by itself, docs/protocol.md among it
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python scripts/protocol.py

bench: $(VENV)/.bench ## measure beside multiprocessing, redis-py and the bare socket
	@$(BIN)/python -m bench $(BENCH_ARGS)

docs: $(VENV)/.docs ## build the documentation into build/docs; every warning is an error
	@$(BIN)/sphinx-build -W --keep-going -n -q docs build/docs
	@echo "open build/docs/index.html"

# Versions and hashes: what "make" and the image of examples/compose install of other people's.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet --upgrade --generate-hashes --strip-extras \
    --no-emit-options --no-emit-index-url --no-emit-find-links
lock: $(VENV)/.lock ## take the newest versions of the servers and of the image's packages, with their hashes
	@$(COMPILE) --output-file requirements/engines.txt requirements/engines.in
	@$(COMPILE) --extra server --output-file requirements/server.txt pyproject.toml
	@$(COMPILE) --extra cli --build-deps-for wheel --output-file requirements/image.txt pyproject.toml

clean: ## remove the virtual environment and whatever tools left behind
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment; each stamp stands for what has been added to it, and is as old as that.

$(VENV)/.python:
	@scripts/make-venv $(VENV) $(PYTHON)
	@touch $@

$(VENV)/.server: EXTRA := server,cli
$(VENV)/.dev: EXTRA := dev
$(VENV)/.bench: EXTRA := bench
$(VENV)/.frameworks: EXTRA := dev,frameworks
$(VENV)/.docs: EXTRA := docs
$(VENV)/.lock: EXTRA := lock
# The server, and what speaks with it, are other people's binaries: only those that were looked at are installed.
$(VENV)/.server $(VENV)/.dev $(VENV)/.bench $(VENV)/.docs $(VENV)/.frameworks $(VENV)/.lock: $(VENV)/.python pyproject.toml requirements/server.txt
	@echo "installing multihost[$(EXTRA)] into $(VENV)"
	@$(PIP) --no-deps --require-hashes --requirement requirements/server.txt
	@$(PIP) --editable '.[$(EXTRA)]'
	@touch $@

build/engines/.installed: $(VENV)/.python requirements/engines.txt
	@echo "installing server programs into build/engines"
	@$(PIP) --no-deps --require-hashes --upgrade --target build/engines --requirement requirements/engines.txt
	@touch $@

# The model of tests/model is in C. A compiler of the machine's own is used if there is one.
$(VENV)/.dev $(VENV)/.frameworks: $(VENV)/.compiler
$(VENV)/.compiler: $(VENV)/.python
	@command -v "$${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || $(PIP) ziglang==0.17.1
	@touch $@
