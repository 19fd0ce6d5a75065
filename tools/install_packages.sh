#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing.
#
# Usage: tools/install_packages.sh PACKAGE...
#
# Uses sudo where the user is not root. Does nothing where all of them are
# installed, and only says so where there is no apt-get: on another system the
# packages' counterparts have to be there already.
#
# Exit codes: 0 done, 1 apt-get failed, 2 wrong usage.
set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: $0 PACKAGE..." >&2
  exit 2
fi

if ! command -v apt-get >/dev/null; then
  echo "no apt-get here; needed are the counterparts of: $*" >&2
  exit 0
fi

missing=()
for package in "$@"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  if [[ "$state" != installed ]]; then
    missing+=("$package")
  fi
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq || exit 1
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" \
  >/dev/null || exit 1
