#!/usr/bin/env bash
# Runs the commands of the README and of the documents on a fresh clone of this commit, in a root of its own: the system's programs and the
# Go toolchain are there, and no environment, no home, no network, and nothing that was built before. For Linux, as root; what is
# committed counts. Modules come from the module cache of who runs it, as from a proxy.
#
# Left out are the commands that need containers (docs/fault-demo.md), run until they are interrupted (the tail in docs/command-line.md)
# or are `make test` itself; a package of unit tests is run in its stead. The README's configuration of one's own is a small one here.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone -q . "$work/checkout"
mkdir -p "$work"/root/{tmp,proc,dev,home,src,usr,etc,modules,pages} "$work/pages"
for dir in bin sbin lib lib64; do
	if [[ -L /$dir ]]; then ln -s "usr/$dir" "$work/root/$dir"; elif [[ -d /$dir ]]; then mkdir "$work/root/$dir"; fi
done

for page in getting-started migration security; do
	{ printf 'set -e\nip link set lo up\n'; scripts/page-commands.sh "$work/checkout/docs/$page.md"; } >"$work/pages/$page.sh"
done
{
	printf 'ip link set lo up\n%s &\n' "$(scripts/page-commands.sh "$work/checkout/README.md" 1)"
	echo 'until curl -sf -m 5 http://localhost:3100/ready; do kill -0 $! || exit 1; sleep 0.2; done; set -e'
	scripts/page-commands.sh "$work/checkout/README.md" 2
	# The page of the command line goes on with this store.
	echo 'go build -o /tmp/bin/logstore ./cmd/logstore; PATH=$PATH:/tmp/bin'
	scripts/page-commands.sh "$work/checkout/docs/command-line.md" 1 | grep -v '^logstore tail'
} >"$work/pages/README.sh"
{
	cat <<'END'
ip link set lo up
cat >loki.yaml <<'YAML'
auth_enabled: false
server: {http_listen_port: "${PORT:3200}"}
common: {path_prefix: /tmp/own, replication_factor: 1, ring: {kvstore: {store: inmemory}}}
YAML
END
	printf '%s &\n' "$(scripts/page-commands.sh "$work/checkout/README.md" 3)"
	echo 'until curl -sf -m 5 http://localhost:3200/ready; do kill -0 $! || exit 1; sleep 0.2; done'
} >"$work/pages/README-own-configuration.sh"
cat >"$work/pages/all" <<'END'
set -e
cd /src
for page in /pages/*.sh; do
	unshare -n --kill-child -pf --propagation unchanged --mount-proc bash "$page" || { echo "failed: $page"; exit 1; }
	echo "done: $page"
done
go test ./pkg/ring
END

unshare -m bash -euo pipefail -c '
	root=$1/root
	mount --bind "$1/pages" "$root/pages"; mount --bind "$1/checkout" "$root/src"; mount --bind "$2" "$root/modules"
	for dir in usr etc bin sbin lib lib64 dev; do if [[ -d /$dir && ! -L /$dir ]]; then mount --rbind "/$dir" "$root/$dir"; fi; done
	mount -t proc proc "$root/proc"
	env -i PATH="$3/bin:/usr/bin:/bin:/usr/sbin:/sbin" HOME=/home GOPROXY=file:///modules GOSUMDB=off GOTOOLCHAIN=local CGO_ENABLED=0 \
		GOFLAGS="-buildvcs=false -modcacherw" chroot "$root" bash /pages/all
' fresh "$work" "$(go env GOMODCACHE)/cache/download" "$(go env GOROOT)"
echo "fresh checkout: every command above was run"
