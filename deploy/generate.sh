#!/bin/sh
# Writes the log of a shop that does not exist, some ten lines a second, and begins a new file when it is large.
file=$1
n=0
while true; do
	n=$((n + 1))
	case $((n % 20)) in
	0) level=error status=500 ;;
	5 | 10) level=warn status=404 ;;
	*) level=info status=200 ;;
	esac
	for path in /cart /checkout /items/$((n % 97)); do
		echo "ts=$(date -u +%Y-%m-%dT%H:%M:%SZ) level=$level method=GET path=$path status=$status duration=$((n * 7919 % 900))ms trace=$((n * 104729 % 1000003))"
	done >>"$file"
	if [ $((n % 20000)) -eq 0 ]; then mv "$file" "$file.1"; fi
	sleep 0.3
done
