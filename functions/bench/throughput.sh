#!/usr/bin/env bash
# Tokens a second of the head's layers and scheduler, beside onnxruntime on the same weights in the same run; OUT=FILE writes JSON. More arguments go to
# JMH: -p model=minilm, -p shape=1x16,32x256.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/prepare.sh"
exec env DJL_OFFLINE=true MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_THRESHOLD_=4294967296 \
  java ${OUT:+-Dbench.out="$OUT"} -Dbench.models="$here/target/models" -cp "$here/target/classes:$here/target/lib/*" io.splitcompute.bench.ThroughputReport "$@"
