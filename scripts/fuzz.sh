#!/usr/bin/env bash
# Runs every fuzz target of the module for a short time: fuzz.sh [DURATION]
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-3s}
targets=0
while IFS=: read -r file func; do
  name=${func#func }
  name=${name%%(*}
  echo "fuzz $(dirname "$file") $name"
  go test -run '^$' -fuzz "^${name}\$" -fuzztime "$duration" "./$(dirname "$file")" >/tmp/fuzz.$$.log 2>&1 || {
    cat /tmp/fuzz.$$.log
    exit 1
  }
  targets=$((targets + 1))
done < <(grep -rhoH --include='*_test.go' -E '^func Fuzz[A-Za-z0-9_]+\(' cmd pkg integration | sort)
rm -f /tmp/fuzz.$$.log
echo "fuzzed $targets targets for $duration each"
