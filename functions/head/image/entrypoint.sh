#!/bin/sh
# Runs what layout.sh has laid out: Lambda's runtime interface client where Lambda is, else a server.
set -eu
app="${SPLITCOMPUTE_APP:-$(cd "$(dirname "$0")" && pwd)}"
if [ -f "$app/natives/versions" ]; then
  . "$app/natives/versions"
  export DJL_OFFLINE=true PYTORCH_VERSION PYTORCH_FLAVOR
  export PYTORCH_LIBRARY_PATH="${PYTORCH_LIBRARY_PATH:-$app/natives}"
fi
export SPLITCOMPUTE_LOG="${SPLITCOMPUTE_LOG:-json}"
# cuDNN's attention plans each new shape for 75 ms.
export TORCH_CUDNN_SDPA_DEPRIORITIZED=1
# The one folder that is written: DJL's and the tokenizer's libraries, and shards.
cache="${SPLITCOMPUTE_CACHE_FOLDER:-/tmp/splitcompute}"
export SPLITCOMPUTE_CACHE_FOLDER="$cache" DJL_CACHE_DIR="$cache/djl"
mkdir -p "$cache/djl"
# glibc would give large activations back to the system after each layer, and fault them in again.
export MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_THRESHOLD_=4294967296

set -- ${JAVA_OPTIONS:-} "$@"
if [ -f "$app/app.aot" ] && [ -z "${SPLITCOMPUTE_AOT_RECORD:-}" ]; then
  set -- -XX:AOTCache="$app/app.aot" "$@"
elif [ -n "${SPLITCOMPUTE_AOT_RECORD:-}" ]; then
  set -- -XX:AOTCacheOutput="$SPLITCOMPUTE_AOT_RECORD" "$@"
fi
jars=$(printf '%s:' "$app"/jars/*.jar)
# An empty entry at the end would be the current folder.
jars=${jars%:}
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
  # The first request comes with the start: it waits for the weights.
  export SPLITCOMPUTE_WAIT_FOR_MODELS="${SPLITCOMPUTE_WAIT_FOR_MODELS:-25s}"
  exec java --enable-native-access=ALL-UNNAMED -XX:+UseSerialGC "$@" -cp "$jars" \
    com.amazonaws.services.lambda.runtime.api.client.AWSLambda \
    io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction
fi
# Options of its own and the main class: words.
# shellcheck disable=SC2046
exec java --enable-native-access=ALL-UNNAMED "$@" -cp "$jars" $(cat "$app/server")
