#!/usr/bin/env bash
# Cheap checks of the tree: format, layering, repository hygiene. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v clang-format-19 > /dev/null; then
  echo "check: clang-format-19 is not installed (make packages-test)" >&2
  exit 1
fi

failed=0
fail() { echo "check: $*" >&2; failed=1; }

git ls-files '*.h' '*.cc' | xargs -r clang-format-19 --dry-run --Werror || fail "run: make format"
python3 tools/check_layering.py || fail "layering"

large=$(git ls-files -z | xargs -0 -r stat -c '%s %n' | awk '$1 > 524288')
[[ -z $large ]] || fail "files over 512 KiB: $large"
long=$(git ls-files '*.h' '*.cc' '*.py' | xargs -r wc -l | awk '$1 > 500 && $2 != "total"')
[[ -z $long ]] || fail "sources over 500 lines: $long"
sleeps=$(git grep -nE 'sleep_for|sleep_until|time\.sleep|usleep\(' -- '*test*' || true)
[[ -z $sleeps ]] || fail "sleeps in tests: $sleeps"
exit $failed
