#!/usr/bin/env bash
# Builds the fuzz targets with clang, asan and ubsan, and runs each for a fixed time from its seeds.
# Usage: fuzz.sh CMAKE CTEST BUILD_DIR JOBS SECONDS [cmake arguments]
set -euo pipefail

cmake=$1 ctest=$2 build=$3 jobs=$4 seconds=$5
shift 5

if ! command -v clang++-19 > /dev/null; then
  echo "test-fuzz: clang++-19 is not installed; the fuzz targets need it (make packages-test)" >&2
  exit 1
fi
"$cmake" -S . -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=clang++-19 -DMDSA_FUZZ_SECONDS="$seconds" "$@" > /dev/null
"$cmake" --build "$build" -j "$jobs" --target fuzzers
"$ctest" --test-dir "$build" -R '^fuzz\.' -j "$jobs" --output-on-failure
