#!/usr/bin/env bash
# From the image's command line to the first answer, of the catalog and of the head with bookworm, without and with the AOT cache: the
# image's own steps on this machine, medians of ROUNDS starts each. Writes docs/proofs/cold-start.json. It takes a JDK 25 (JAVA_HOME).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
image="$root/functions/head/image"
if [ -n "${JAVA_HOME:-}" ]; then PATH="$JAVA_HOME/bin:$PATH"; fi
if ! java -version 2>&1 | grep -q '"25'; then
  echo "cold-start.sh: it takes a JDK 25, set JAVA_HOME to one" >&2
  exit 2
fi
if [ ! -d "$root/functions/head/target/lib" ] || [ ! -d "$root/functions/catalog/target/lambda/lib" ] || [ -n "${REBUILD:-}" ]; then
  (cd "$root" && ./mvnw -B -ntp -q -pl functions/head,functions/catalog,weights -am -DskipTests package)
fi
work="$here/target/cold-start"
rm -rf "$work"
mkdir -p "$work"
java -jar "$root/weights/target/splitcompute-weights.jar" shard "$root/functions/local/src/main/resources/models/bookworm" --out "$work/store" --dtype f32
"$image/layout.sh" "$root/functions/catalog/target/lambda" "$work/catalog" catalog
"$image/layout.sh" "$root/functions/head/target" "$work/head" cpu
# What answers GET as S3 does: the catalog reads S3 alone.
port=$(python3 -c 'import socket; free = socket.socket(); free.bind(("127.0.0.1", 0)); print(free.getsockname()[1])')
jwebserver -b 127.0.0.1 -p "$port" -d "$work" > "$work/s3.log" 2>&1 &
trap 'kill '$! EXIT
export SPLITCOMPUTE_S3_ENDPOINT="http://127.0.0.1:$port" SPLITCOMPUTE_PATH_STYLE=true AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none
measure() { python3 "$here/cold_start.py" "$work" "$1" "${ROUNDS:-7}" "$root/docs/proofs/cold-start.json"; }
measure before
"$image/train.sh" "$work/catalog" s3:store
"$image/train.sh" "$work/head" "file:$work/store"
measure after
