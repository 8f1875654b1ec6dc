# The front door. Everything is built below build/; nothing else in the tree is written.
#
#   make demo    install what is missing, build, and show the main job on two real models
#   make test    the checks, C++, an installed copy, Python, command line, docs, sanitizers, fuzzers

SHELL := /bin/bash
PYTHON ?= python3
BUILD := build
VENV := $(BUILD)/venv
VPY := $(CURDIR)/$(VENV)/bin/python
JOBS ?= $(shell nproc)

# Each target uses all cores by itself, and some write the same files.
.NOTPARALLEL:

# A compiler cache outside the tree is used when there is one: asked in the recipes, after the packages are there.
CCACHE = $(shell command -v ccache 2>/dev/null)
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
CMAKE_ARGS = $(if $(CCACHE),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)

# Debian's cmake, whatever else is on the path: its FindXXX modules know Debian's packages.
CMAKE := $(shell [ -x /usr/bin/cmake ] && echo /usr/bin/cmake || echo cmake)
CTEST := $(shell [ -x /usr/bin/ctest ] && echo /usr/bin/ctest || echo ctest)

RELEASE := $(BUILD)/release
export MDSA_CLI := $(CURDIR)/$(RELEASE)/apps/mdsa/mdsa
RUN_PYTHON := PYTHONPATH=$(CURDIR)/$(RELEASE)/python PYTHONDONTWRITEBYTECODE=1 $(VPY)

.PHONY: help
help:
	@echo "make demo         install what is missing, build, show the main job on real models"
	@echo "make test         check and all tests; the parts: test-cpp test-install test-python, and the C++ tests"
	@echo "                  under sanitizers and the fuzzers: test-asan test-tsan test-fuzz"
	@echo "make build        the library, the command line ($(RELEASE)/apps/mdsa/mdsa) and the Python module"
	@echo "make bench        MiniLM and SmolLM2 beside transformers and bitsandbytes, in one run"
	@echo "make bench-residency"
	@echo "                  what the manager itself costs: hits, leases, decisions, hits while others load"
	@echo "make check        format, layering and other cheap checks"
	@echo "make tidy         clang-tidy over all C++ sources"
	@echo "make format       apply clang-format"
	@echo "make clean        remove $(BUILD)/"

# --- what is installed -------------------------------------------------------------------------------------------

.PHONY: packages packages-test venv venv-test
packages:
	@scripts/packages.sh build
packages-test:
	@scripts/packages.sh build test
venv: packages
	@scripts/venv.sh $(PYTHON) $(VENV) demo
venv-test: packages-test
	@scripts/venv.sh $(PYTHON) $(VENV) demo test

# --- build -------------------------------------------------------------------------------------------------------

# Tests and benchmarks need more packages than the product: only the targets that run them ask for them.
DEVELOPER_MODE := OFF
test test-cpp test-install test-python bench bench-residency: DEVELOPER_MODE := ON

.PHONY: configure build
configure: venv
	@$(CMAKE) --preset release $(CMAKE_ARGS) -DMDSA_DEVELOPER_MODE=$(DEVELOPER_MODE) -DMDSA_BUILD_PYTHON=ON -DPython_EXECUTABLE=$(VPY) > $(BUILD)/configure.log \
	  || { cat $(BUILD)/configure.log; exit 1; }
build: configure
	@$(CMAKE) --build $(RELEASE) -j $(JOBS)

# Only what the demonstration needs: the Python module.
.PHONY: demo
demo: configure
	@$(CMAKE) --build $(RELEASE) -j $(JOBS) --target mdsa_python
	@$(RUN_PYTHON) examples/demo.py

# --- tests -------------------------------------------------------------------------------------------------------

.PHONY: test test-cpp test-python test-asan test-tsan test-fuzz test-install
test: check test-cpp test-install test-python test-asan test-tsan test-fuzz
	@echo "all tests passed"

test-cpp: venv-test build
	@$(CTEST) --test-dir $(RELEASE) -j $(JOBS) --output-on-failure -LE install

test-install: venv-test build
	@models=$$($(VPY) scripts/real_models.py) && eval "$$models" && \
	  $(CTEST) --test-dir $(RELEASE) --output-on-failure -L install

test-python: venv-test build
	@$(RUN_PYTHON) -m pytest -p no:cacheprovider -q --durations=15 tests

# The asan preset compiles with clang, which also checks the lock annotations.
test-asan test-tsan: test-%: packages-test
	@$(CMAKE) --preset $* $(CMAKE_ARGS) -DMDSA_BUILD_PYTHON=OFF > /dev/null
	@$(CMAKE) --build $(BUILD)/$* -j $(JOBS) --target cpp_tests mdsa_cli
	@$(CTEST) --test-dir $(BUILD)/$* -j $(JOBS) --output-on-failure -LE install -E '^fuzz'

# Each parser for a short fixed time under clang's libFuzzer with asan and ubsan.
FUZZ_SECONDS ?= 10
test-fuzz: packages-test
	@scripts/fuzz.sh $(CMAKE) $(CTEST) $(BUILD)/fuzz $(JOBS) $(FUZZ_SECONDS) $(CMAKE_ARGS)

# --- the rest ----------------------------------------------------------------------------------------------------

.PHONY: bench bench-residency check tidy format clean
bench: venv-test build
	@$(RUN_PYTHON) bench/compare.py

# Medians of repetitions, for a machine is seldom quiet.
bench-residency: venv-test build
	@$(CMAKE) --build $(RELEASE) -j $(JOBS) --target residency_bench
	@$(RELEASE)/bench/residency_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only=true \
	  --benchmark_min_time=0.2
	@$(RUN_PYTHON) bench/hit.py

check: packages-test
	@scripts/check.sh

tidy: configure
	@scripts/packages.sh tidy
	@git ls-files 'src/*.cc' 'apps/*.cc' ':!*_test.cc' | xargs -P $(JOBS) -n 4 clang-tidy-19 --quiet -p $(RELEASE)

format:
	@git ls-files '*.h' '*.cc' | xargs clang-format-19 -i

clean:
	rm -rf $(BUILD)
