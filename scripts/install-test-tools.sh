#!/usr/bin/env bash
# Installs the servers that the tests start: redis-server, memcached, prometheus-alertmanager and prometheus as Debian packages (and ip, to cut networks), and
# versitygw, an S3 server, by go install into bin/ of the checkout; the linter too; and what runs under Node (clients that push, the grammar of
# Grafana's editor, the web page's tests with Debian's Chromium) by npm. What is there already is left alone, so a second run takes no time.
set -euo pipefail
cd "$(dirname "$0")/.."

# The same version as in integration/testservers/versitygw.go.
versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0

# Debian keeps some servers in sbin, which is not in everybody's PATH.
have() { PATH="$PWD/bin:$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

packages=()
have redis-server || packages+=(redis-server)
have memcached || packages+=(memcached)
have prometheus-alertmanager || have alertmanager || packages+=(prometheus-alertmanager)
have node || packages+=(nodejs)
have npm || packages+=(npm)
have chromium || packages+=(chromium)
have prometheus || packages+=(prometheus)
have ip || packages+=(iproute2)
if ((${#packages[@]})); then
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "install-test-tools: please install ${packages[*]}: there is no apt-get here" >&2
		exit 1
	elif [[ $(id -u) -ne 0 ]]; then
		echo "install-test-tools: please install ${packages[*]}, for example: sudo apt-get install ${packages[*]}" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	# The tests start servers of their own; a package must not start one with the machine's configuration. Policy 101
	# forbids that, and is only put in place where nobody else has a policy.
	if [[ ! -e /usr/sbin/policy-rc.d ]]; then
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	fi
	# The lists may be missing or old; they are only fetched when the install fails for it.
	apt-get install -y -q --no-install-recommends "${packages[@]}" ||
		{ apt-get update -q && apt-get install -y -q --no-install-recommends "${packages[@]}"; }
fi

if ! have versitygw; then
	mkdir -p bin
	GOBIN="$PWD/bin" GOFLAGS='' CGO_ENABLED=0 go install "$versitygw"
fi

# The linter's version is pinned, so that a new rule of its does not break an old commit.
golangci=2.15.0
linter_version() { PATH="$PWD/bin:$PATH" golangci-lint version 2>/dev/null || true; }
if [[ $(linter_version) != *"has version $golangci "* ]]; then
	mkdir -p bin
	GOBIN="$PWD/bin" GOFLAGS='' CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$golangci"
fi

# npm leaves a copy of the lock file behind, which tells what is installed. Packages run no scripts of their own.
for node in integration/testdata/node ui; do
	if [[ ! $node/node_modules/.package-lock.json -nt $node/package-lock.json ]]; then
		(cd "$node" && npm ci --ignore-scripts --no-audit --no-fund)
	fi
done
