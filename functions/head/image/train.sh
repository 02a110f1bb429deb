#!/usr/bin/env bash
# Makes the AOT cache (JDK 25) of what layout.sh has laid out: starts its entry point, sends it work and stops it.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: train.sh ROOT STORE [MODEL]   (ROOT: from layout.sh; STORE: file:FOLDER or s3:BUCKET with a small model, default bookworm)" >&2
  exit 2
fi
root="$1" store="$2" model="${3:-bookworm}"
log=$(mktemp)
port=$((20000 + RANDOM % 20000))
SPLITCOMPUTE_AOT_RECORD="$root/app.aot" SPLITCOMPUTE_WEIGHTS="$store" SPLITCOMPUTE_MODELS="$model" \
  MICRONAUT_SERVER_PORT=$port SPLITCOMPUTE_DEVICE="${SPLITCOMPUTE_DEVICE:-cpu}" "$root/entrypoint.sh" > "$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 300); do
  if curl -sf "http://127.0.0.1:$port/health" > /dev/null; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then cat "$log" >&2; exit 1; fi
  sleep 0.2
done
body="{\"model\": \"$model\", \"input\": [[1, 2, 3]]"
for more in '}' ', "cut": 1}' ', "cut": 1, "dtype": "f32"}' ', "cut": 1, "dtype": "i8"}' ', "cut": -1}'; do
  curl -s -o /dev/null "http://127.0.0.1:$port/v1/embed" -H 'content-type: application/json' -d "$body$more"
done
# The catalog's calls: either answers the other's as addresses that it does not know.
for path in "" "/$model" "/$model/manifest" "/unknown"; do
  curl -s -o /dev/null "http://127.0.0.1:$port/v1/models$path"
done
kill -TERM "$server"
# The JVM assembles the cache as it ends.
wait "$server" || true
trap 'rm -f "$log"' EXIT
if [ ! -s "$root/app.aot" ]; then
  cat "$log" >&2
  echo "train.sh: no cache came of it; it takes a JDK 25" >&2
  exit 1
fi
echo "$root/app.aot: $(stat -c %s "$root/app.aot") bytes"
