#!/usr/bin/env bash
# Prints the commands of a page, those of its blocks marked sh, or of its block N only: page-commands.sh FILE [N]
set -euo pipefail
awk -v want="${2:-0}" '/^```sh$/ { n++; on = 1; next } /^```/ { on = 0 } on && (want == 0 || n == want)' "$1"
