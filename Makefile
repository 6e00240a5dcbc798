# Everything that one does with this project. Needs Python 3.11+ and make; the rest goes into .venv.
# Options: ARGS="..." goes to the command behind demo, test, chaos, bench, bench-uses and soak; PYTHON=...
# names the interpreter that .venv is made from.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3 python)
ARGS :=
TESTERS := 6
# Every process of the tests would compile all its modules anew where PYTHONDONTWRITEBYTECODE is set,
# which takes longer than the tests. The compiled ones go where nobody minds them.
CACHED := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX='$(CURDIR)/$(VENV)/pycache'

.PHONY: help setup demo test test-fast check bench bench-uses chaos soak docs lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make setup   .venv with everything; then .venv/bin/streams is the command'
	@echo 'make demo    500 items through an embedded broker and an API simulator'
	@echo 'make test    all tests, on the best broker there is (docs/testing.md)'
	@echo 'make test-fast  those that need no broker, in less than a minute'
	@echo 'make check   format, lint, types, known vulnerabilities'
	@echo 'make bench   the benchmarks, on Apache Kafka'
	@echo 'make bench-uses  what the library doors save, and what they cost beside other libraries'
	@echo 'make chaos   200 seeded runs of kills, freezes, broker faults, and what takes too long for make test'
	@echo 'make soak    an hour under load: what memory and open files grow by'
	@echo 'make lock    the lock files anew, after a change of pyproject.toml'

# -- the environment ---------------------------------------------------------------------------

# Two stamps: what the product needs (demo) and everything (tests, checks). Each is redone when its
# lock file or pyproject.toml changes.
$(VENV)/made.stamp:
	@set -e; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    for python in $(PYTHONS); do \
	        if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	            found=$$python; break; \
	        fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'make: no Python 3.11 or newer among: $(PYTHONS). Name one: make PYTHON=/path/to/python3.12' >&2; \
	        exit 1; \
	    fi; \
	    echo "making $(VENV) with $$("$$found" --version)"; \
	    rm -rf $(VENV); \
	    "$$found" -m venv $(VENV) || { \
	        rm -rf $(VENV); \
	        echo "make: $$found cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
	        exit 1; \
	    }; \
	fi; \
	touch $@

# uv installs in a tenth of pip's time; where it cannot be had or cannot reach the packages, pip does.
define install
	@set -e; \
	echo 'installing what $(1) pins into $(VENV)'; \
	$(BIN)/python -m pip install -q --disable-pip-version-check '$(UV)' || true; \
	if ! { [ -x $(BIN)/uv ] && $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r $(1); }; then \
	    echo 'uv did not manage; with pip, which takes minutes'; \
	    $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1); \
	fi; \
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .; \
	touch $@
endef

$(VENV)/run.stamp: $(VENV)/made.stamp requirements-run.lock pyproject.toml
	$(call install,requirements-run.lock)

$(VENV)/dev.stamp: $(VENV)/made.stamp requirements.lock pyproject.toml
	$(call install,requirements.lock)
	@touch $(VENV)/run.stamp

setup: $(VENV)/dev.stamp
	@echo '.venv/bin/streams is the command'

# Not after dev.stamp: that would install from the old lock file first.
lock: $(VENV)/made.stamp
	@$(BIN)/python -m pip install -q --disable-pip-version-check '$(UV)'
	@sh .ci/lock

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# -- what one does -----------------------------------------------------------------------------

demo: $(VENV)/run.stamp
	@$(BIN)/streams demo $(ARGS)

# Several at a time: tests wait for processes and sessions more than they compute. ARGS="-n 0" is
# one at a time, in this process.
test: $(VENV)/dev.stamp
	@$(CACHED) $(BIN)/python -m pytest -n $(TESTERS) $(ARGS)

# For daily work: no broker, no command, no simulation.
SLOW := acceptance chaos cli contract/brokers examples faults fuzz integration simulation
test-fast: $(VENV)/dev.stamp
	@$(CACHED) $(BIN)/python -m pytest -n 2 -m 'not kafka' $(SLOW:%=--ignore=tests/%) $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py requirements.lock

bench: $(VENV)/dev.stamp
	@set -e; for part in throughput waiting memory guarantees poison; do \
	    echo "== $$part"; $(BIN)/python -m benchmarks.$$part $(ARGS); \
	done

# About two minutes; no broker. ARGS="side-by-side failures" is some of it, --whole makes every call.
bench-uses: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.uses $(ARGS)

# 200 seeded runs (--runs N), and the faults that take too long for make test.
chaos: $(VENV)/dev.stamp
	@$(CACHED) $(BIN)/python -m pytest tests/chaos tests/faults \
	    tests/integration/test_rebalances.py -n 3 --thorough --show-capture=no $(ARGS)

# --minutes N for less, --plot FILE for a picture: docs/soak.svg is one.
soak: $(VENV)/dev.stamp
	@$(BIN)/python -m benchmarks.soak $(ARGS)

docs:
	@echo 'make $@: not available in this version' >&2; exit 2
