#!/usr/bin/env bash
# Runs every fuzz target of the module for a short time: fuzz.sh [DURATION]
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-3s}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
module=$(go list -m)
# Where the go command itself keeps the inputs that reached something new.
found=$(go env GOCACHE)/fuzz

# All targets of a package run from one binary: go test -fuzz would link it anew for each, which takes longer than the fuzzing.
build() { go test -c -fuzz . -ldflags '-s -w' -o "$work/binary" "./$1"; }

# A test runs in the directory of its package, and writes an input that fails below its testdata.
run() {
  (cd "$1" && "$work/binary" -test.paniconexit0 -test.timeout 10m -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$duration" \
    -test.fuzzcachedir "$found/$module/$1") >"$log" 2>&1 && grep -q '^fuzz: elapsed' "$log"
}

# Go's fuzzing sometimes fails a target whose time ran out, without an input that fails. Only that is tried again.
outOfTime() { grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"; }

targets=0
built=
while IFS=: read -r file func; do
  name=${func#func }
  name=${name%%(*}
  package=$(dirname "$file")
  if [[ $package != "$built" ]]; then
    build "$package"
    built=$package
  fi
  echo "fuzz ./$package $name"
  if ! run "$package" "$name" && ! { outOfTime && run "$package" "$name"; }; then
    cat "$log"
    exit 1
  fi
  targets=$((targets + 1))
done < <(grep -rhoH --include='*_test.go' -E '^func Fuzz[A-Za-z0-9_]+\(' cmd pkg integration | sort)
echo "fuzzed $targets targets for $duration each"
