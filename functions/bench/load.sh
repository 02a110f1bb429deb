#!/usr/bin/env bash
# Loads the local cloud: the catalog at 2,000 signings a second, or the highest rate tried below at which p99 stays under 50 ms, then the head with
# more callers than it can answer. Five minutes each; writes docs/proofs/load.json. SECONDS_EACH, RATE, CALLERS and OUT change that.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ ! -d "$here/target/lib" ] || [ ! -f "$root/functions/local/target/splitcompute-local.jar" ] || [ -n "${REBUILD:-}" ]; then
  (cd "$root" && ./mvnw -B -ntp -q -Pbench -pl functions/bench,functions/local -am -DskipTests package)
fi
exec java -cp "$here/target/classes:$here/target/lib/*" io.splitcompute.bench.LoadTest --jar "$root/functions/local/target/splitcompute-local.jar" \
  --seconds "${SECONDS_EACH:-300}" --rate "${RATE:-2000}" --callers "${CALLERS:-512}" --out "${OUT:-$root/docs/proofs/load.json}"
