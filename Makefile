# One-line targets, each also valid typed by hand; `make help` lists them.
SHELL := /bin/bash
UV := .bootstrap/bin/uv
PY := .venv/bin/python
# Never fetch an interpreter; trust the machine's own certificate store.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := 1
export UV_NO_PROGRESS := 1
ARGS ?=

.PHONY: help setup demo test check bench proto proto-check lock format lint types imports docs-check e2e wheel-test clean

help:           ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ok ## build .venv from requirements.lock (hashes checked)

$(UV):          # works under PEP 668 and without python3-venv
	python3 -m pip install -q --disable-pip-version-check --target .bootstrap uv

.venv/.ok: $(UV) requirements.lock pyproject.toml
	$(UV) venv -q --allow-existing --python "$$(command -v python3)" .venv
	$(UV) pip sync -q --require-hashes requirements.lock
	$(UV) pip install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv/.ok ## replicate a VM between two sites on this machine and test its failover
	.venv/bin/replikera lab run $(ARGS)

test: .venv/.ok ## unit, integration and end-to-end tests
	$(PY) -m pytest -q -n 2 --dist loadfile tests $(ARGS)

check: .venv/.ok proto-check lint types imports docs-check ## every gate but the tests

bench: .venv/.ok ## ratios beside the peers, in one run
	$(PY) benchmarks/replication.py $(ARGS)

proto: .venv/.ok ## generate the stubs from proto/
	$(PY) proto/generate.py

proto-check: .venv/.ok ## fail when the stubs differ from proto/, or proto/ from the style of its field
	$(PY) proto/generate.py --check && .venv/bin/buf lint proto

lock: $(UV)     ## resolve requirements.lock anew
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group dev pyproject.toml -o requirements.lock

format: .venv/.ok ## format the code
	.venv/bin/ruff format . && .venv/bin/ruff check --fix .

lint: .venv/.ok ## style
	.venv/bin/ruff format --check . && .venv/bin/ruff check .

types: .venv/.ok ## mypy strict
	.venv/bin/mypy

imports: .venv/.ok ## who may import whom
	.venv/bin/lint-imports

docs-check: .venv/.ok ## symbols and links in the documents resolve
	$(PY) docs/check.py

clean:          ## remove what the targets made
	rm -rf .venv .bootstrap .replikera-lab .mypy_cache .ruff_cache dist
