#!/usr/bin/env bash
# Shared batches beside batching off: GPT-2 small's shape, 64 callers, lengths 1-64 and cuts 1-12, the load generator niced on the same cores.
# Prints a JSON line for each and their ratio. CALLERS, SECONDS_EACH and LENGTHS change the load.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/prepare.sh"
callers="${CALLERS:-64}" seconds="${SECONDS_EACH:-30}" lengths="${LENGTHS:-1-64}"
export DJL_OFFLINE=true MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_THRESHOLD_=4294967296
run() { # shared
  local port=$((20000 + RANDOM % 20000)) log
  log=$(mktemp)
  java -Dsplitcompute.weights="file:$here/target/models/store" -Dsplitcompute.models=gpt2-small -Dsplitcompute.batch.shared="$1" \
    -Dsplitcompute.batch.max-wait=60s -Dmicronaut.server.port=$port -cp "$here/target/classes:$here/target/lib/*" io.splitcompute.head.HeadApplication > "$log" 2>&1 &
  local server=$!
  trap 'kill $server 2>/dev/null || true' EXIT
  until curl -sf "http://127.0.0.1:$port/health" > /dev/null; do
    if ! kill -0 $server 2>/dev/null; then cat "$log" >&2; exit 1; fi
    sleep 0.2
  done
  nice -n 10 java -cp "$here/target/classes:$here/target/lib/*" io.splitcompute.bench.LoadGenerator --url "http://127.0.0.1:$port" --model gpt2-small \
    --callers "$callers" --seconds "$seconds" --lengths "$lengths" --cuts 1-12
  kill $server
  wait $server 2>/dev/null || true
  rm -f "$log"
}
off=$(run false)
on=$(run true)
echo "off $off"
echo "on  $on"
python3 -c '
import json, sys
off, on = json.loads(sys.argv[1]), json.loads(sys.argv[2])
print("shared batches: %.2fx the requests, p95/p50 %.2f, wrong %d, failed %d" % (on["requestsPerSecond"] / off["requestsPerSecond"], on["p95Milliseconds"] / on["p50Milliseconds"], on["wrong"], on["failed"]))
' "$off" "$on"
