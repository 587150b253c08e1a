#!/usr/bin/env bash
# Runs docker-compose.yaml where no image registry is reached: stand-in images of the same names are built of the project's
# binary and of programs on this machine (Debian's nginx, redis, prometheus, alertmanager and shell, and versitygw). Alloy and
# Grafana, of which there is no package, are left out; a push over the gateway stands in for Alloy. dockerd is started if none
# answers, and what was started is stopped again.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
project=logstore-test-$$
services=(logstore-1 logstore-2 logstore-3 gateway buckets versitygw redis alertmanager prometheus generator)
dockerd_pid=

finish() {
	code=$?
	if ((code)); then docker-compose -p "$project" logs --tail=20 2>&1 | tail -80 || true; fi
	docker-compose -p "$project" down -v -t 30 >"$work/down.log" 2>&1 || true
	if [[ -n $dockerd_pid ]]; then kill "$dockerd_pid" && wait "$dockerd_pid" 2>/dev/null || true; fi
	rm -rf "$work" || true
	exit "$code"
}
trap finish EXIT

if ! command -v docker-compose >/dev/null || ! command -v dockerd >/dev/null || ! command -v nginx >/dev/null; then
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker.io docker-compose nginx-light >/dev/null ||
		{ echo "please install docker, docker-compose and nginx" >&2; exit 1; }
fi
./scripts/install-test-tools.sh

if ! docker info >/dev/null 2>&1; then
	export DOCKER_HOST=unix://$work/docker.sock
	# The test needs no way out, and the file system of a container may be no overlay's.
	dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
		--iptables=false --ip6tables=false --storage-driver=vfs >"$work/dockerd.log" 2>&1 &
	dockerd_pid=$!
	for _ in $(seq 60); do docker info >/dev/null 2>&1 && break || sleep 0.5; done
	docker info >/dev/null 2>&1 || { tail "$work/dockerd.log"; exit 1; }
fi

# image NAME DOCKERFILE-LINES PROGRAM... builds an image of programs of this machine with the libraries that they load.
image() {
	local name=$1 lines=$2 dir; shift 2
	docker image inspect "$name" >/dev/null 2>&1 && return
	dir=$(mktemp -d "$work/image.XXXX")
	mkdir -p "$dir/root/tmp" "$dir/root/run" "$dir/root/var/log/nginx" "$dir/root/var/lib/nginx"
	for program in "$@"; do
		cp --parents -rL "$program" "$dir/root"
		for lib in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*'); do cp --parents -L "$lib" "$dir/root"; done
	done
	printf 'FROM scratch\nCOPY root /\n%b\n' "$lines" >"$dir/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t "$name" "$dir" >/dev/null
	rm -rf "$dir"
}
# static NAME DOCKERFILE-LINES PROGRAM PATH builds an image of one static program at a path.
static() {
	local dir; dir=$(mktemp -d "$work/image.XXXX")
	mkdir -p "$dir/root$(dirname "$4")" "$dir/root/tmp" "$dir/root/data"
	cp "$3" "$dir/root$4"
	printf 'FROM scratch\nCOPY root /\n%b\n' "$2" >"$dir/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t "$1" "$dir" >/dev/null
	rm -rf "$dir"
}

make -s build
static logstore:latest "$(sed -n '/^WORKDIR \/data/,$p' Dockerfile | sed 's/\\/\\\\/g')" bin/logstore /usr/bin/logstore
static versity/versitygw:v1.8.0 'ENTRYPOINT ["/versitygw"]' bin/versitygw /versitygw
image busybox:1.37 'ENV PATH=/bin:/usr/bin' /bin/sh /bin/mkdir /bin/date /bin/sleep /bin/mv
image redis:7 'ENV PATH=/usr/bin' /usr/bin/redis-server
image prom/prometheus:v3.5.0 'ENTRYPOINT ["/usr/bin/prometheus"]' /usr/bin/prometheus
image prom/alertmanager:v0.28.1 'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]' /usr/bin/prometheus-alertmanager /usr/share/prometheus/alertmanager
image nginx:1.28 'ENTRYPOINT ["/usr/sbin/nginx", "-g", "daemon off; user root;"]' /usr/sbin/nginx /etc/passwd /etc/group

docker-compose -p "$project" up -d --no-build --no-deps "${services[@]}"
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(docker-compose -p "$project" ps -q "$1")"; }
gateway=http://$(address gateway):3100
try() { for _ in $(seq 120); do "$@" && return 0 || sleep 1; done; echo "gave up: $*" >&2; return 1; }
active() { [[ $(curl -fsS -H 'Accept: application/json' "http://$(address logstore-1):3100/ring" | grep -o '"state":"ACTIVE"' | wc -l) == 3 ]]; }
healthy() { for i in 1 2 3; do [[ $(docker inspect -f '{{.State.Health.Status}}' "$(docker-compose -p "$project" ps -q logstore-$i)") == healthy ]] || return 1; done; }
try active
try healthy
now=$(date +%s)
push() { curl -fsS -H 'Content-Type: application/json' "$gateway/loki/api/v1/push" -d "{\"streams\":[{\"stream\":{\"app\":\"compose\"},\"values\":[[\"${now}000000000\",\"through the gateway\"]]}]}"; }
found() { curl -fsS -G "$gateway/loki/api/v1/query_range" --data-urlencode 'query={app="compose"}' | grep -q 'through the gateway'; }
try push
try found
# A real client, and the requests of Grafana's Explore and of its variables, through the gateway.
node integration/testdata/node/pino.mjs "$gateway" api 100
end=$(date +%s)
ask() { curl -fsS -G -H 'X-Loki-Response-Encoding-Flags: categorize-labels' "$gateway/loki/api/v1/$1" --data-urlencode "start=$((end - 3600))000000000" --data-urlencode "end=$((end + 60))000000000" "${@:2}"; }
shipped() { ask query_range --data-urlencode 'query={app="api"}' --data-urlencode direction=backward --data-urlencode limit=1000 --data-urlencode step=2000ms | grep -q '"encodingFlags":\["categorize-labels"\]'; }
volume() { ask query_range --data-urlencode 'query=sum by (level, detected_level) (count_over_time({app="api"}[1m]))' --data-urlencode step=60000ms | grep -q '"matrix"'; }
try shipped
try volume
try eval 'ask label/app/values | grep -q compose'
docker kill "$(docker-compose -p "$project" ps -q logstore-2)" >/dev/null
try push
try found
echo "compose: three members are healthy, and a line pushed through the gateway is found, also with one member killed"

# The demo of docs/fault-demo.md: its commands one after the other, while its loop pushes.
block() { scripts/page-commands.sh docs/fault-demo.md "$1"; }
docker-compose -p "$project" start logstore-2
try active
block 1 | grep -v '^docker compose up' >"$work/loop.sh"
bash "$work/loop.sh" >"$work/answers" 2>&1 &
loop=$!
demo() { eval "${1//docker compose/docker-compose -p $project}"; }
while read -r command; do
	echo "demo: $command"
	demo "$command" </dev/null && echo
	sleep 10
done < <(block 2)
kill "$loop"
wait "$loop" 2>/dev/null || true
stored=$(demo "$(block 2 | tail -1)" | grep -o '"[0-9]*"\]' | tr -dc 0-9)
pushed=$(grep -c '^204$' "$work/answers")
if ((pushed < 100)) || grep -v '^204$' "$work/answers" || ((stored < pushed)); then
	echo "demo: $pushed pushes, $stored lines found" >&2
	exit 1
fi
echo "demo: $pushed pushes while members and the bucket failed, none refused, $stored lines found"
