#!/usr/bin/env bash
# Installs the Debian packages that are missing, as root or through sudo; without either, names them.
# Usage: packages.sh [build] [test] [tidy]
set -euo pipefail

build=(g++ cmake ninja-build pkg-config ccache python3-venv python3-dev
  libfmt-dev libsimdjson-dev nlohmann-json3-dev libcli11-dev libicu-dev libpcre2-dev
  libtomlplusplus-dev)
test=(libgtest-dev libgmock-dev libbenchmark-dev clang-19 clang-format-19 libclang-rt-19-dev)
tidy=(clang-tidy-19)

wanted=()
for group in "$@"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    tidy) wanted+=("${tidy[@]}") ;;
    *) echo "packages.sh: unknown group '$group'" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query > /dev/null; then
  echo "packages.sh: not a Debian system; please install the equivalents of: ${wanted[*]}" >&2
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if [[ $(id -u) == 0 ]]; then
  as_root=()
elif command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [[ -t 0 ]]; }; then
  as_root=(sudo)
else
  echo "These Debian packages are missing, and this user can neither be root nor use sudo:" >&2
  echo "  apt-get install ${missing[*]}" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing Debian packages: ${missing[*]}"
if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "packages.sh: apt-get failed; see above" >&2
  exit 1
fi
