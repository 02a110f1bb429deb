#!/usr/bin/env bash
# Builds the benchmarks and makes their models, once.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ ! -d "$here/target/lib" ] || [ -n "${REBUILD:-}" ]; then
  (cd "$root" && ./mvnw -B -ntp -q -Pbench -pl functions/bench -am -DskipTests package)
fi
models="$here/target/models"
if [ ! -f "$models/minilm.onnx" ]; then
  python3 -m venv "$here/target/python"
  "$here/target/python/bin/pip" install -q numpy onnx safetensors
  mkdir -p "$models"
  "$here/target/python/bin/python" "$here/make_models.py" "$models"
fi
for model in gpt2-small minilm; do
  if [ ! -f "$models/store/models/$model/manifest.json" ]; then
    java -jar "$root/weights/target/splitcompute-weights.jar" shard "$models/$model" --out "$models/store" --dtype f32
  fi
done
