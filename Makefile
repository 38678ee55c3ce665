# The habits of this project, one word each. Every target does its own set-up: a bare Debian or Ubuntu machine
# with make and Python 3.11 or later is enough.

SHELL := /bin/bash
PYTEST_FLAGS ?=
BENCH_FLAGS ?=
export PYTHON

.PHONY: help demo fast test soak fuzz check bench bench-check docs clean

help:  ## these lines
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1:\2/p' $(MAKEFILE_LIST) | while IFS=: read -r word does; do \
		printf '  make %-11s %s\n' "$$word" "$$does"; done

demo:  ## both sides on this machine, to watch (DEMO_FLAGS=--once: ends)
	@tools/setup_venv.sh
	@tools/debian_packages.sh libnbd-bin
	.venv/bin/nsu demo $(DEMO_FLAGS)

fast:  ## machine code of the hot modules, made from these sources (a minute): half the processor time
	@tools/setup_venv.sh test fast
	@.venv/bin/python -m tools.compile

test:  ## all tests, with the time that each file took
	@tools/setup_venv.sh test bench fast
	@tools/debian_packages.sh
	@.venv/bin/python -m tools.compile
	.venv/bin/python -m pytest $(PYTEST_FLAGS)

soak:  ## the long proofs (SEEDS=N: so many lives in the simulation); figures are printed
	@tools/setup_venv.sh test fuzz
	@tools/debian_packages.sh
	.venv/bin/python -m pytest -m soak -s --timeout=0 $(if $(SEEDS),--seeds=$(SEEDS)) $(PYTEST_FLAGS)

SECONDS_EACH = $(if $(filter command environment,$(word 1,$(origin SECONDS))),$(SECONDS),600)
fuzz:  ## every parser of foreign bytes, ten minutes each (SECONDS=N: so many), what is worth keeping is kept
	@tools/setup_venv.sh test fuzz
	.venv/bin/python -m tests.fuzz.run --keep --seconds $(SECONDS_EACH)

check:  ## style, types, and who may import whom: seconds, no test runs
	@tools/setup_venv.sh test check
	.venv/bin/ruff check .
	.venv/bin/ruff format --check -q .
	.venv/bin/mypy
	.venv/bin/python -m pytest -q tests/test_arrows.py

BENCH_PACKAGES = fio nbdkit nbd-server qemu-utils qemu-system-common tgt libiscsi-bin qemu-block-extra iperf3
bench:  ## our figures beside five peers', on this machine, now (BENCH_FLAGS=--quick: two minutes)
	@tools/setup_venv.sh test bench fast
	@tools/debian_packages.sh gcc $(if $(findstring --quick,$(BENCH_FLAGS)),fio nbdkit,$(BENCH_PACKAGES))
	@.venv/bin/python -m tools.compile
	.venv/bin/python -m bench.run $(BENCH_FLAGS)
	@[[ "$(BENCH_FLAGS)" == *--quick* ]] || for part in sizes growth distance unequal arrays; do .venv/bin/python -m bench.$$part || exit; done

bench-check:  ## whether we have become much slower beside nbdkit: a minute, fails when so
	@tools/setup_venv.sh test bench fast
	@tools/debian_packages.sh fio nbdkit gcc
	@.venv/bin/python -m tools.compile
	.venv/bin/python -m bench.check

docs:  ## the pages that are printed from the code
	@tools/setup_venv.sh
	.venv/bin/python docs/build_protocol_pages.py
	.venv/bin/python -m nsu.conf.reference .
	.venv/bin/python -m nsu.cli_reference .

clean:  ## removes what the other targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
