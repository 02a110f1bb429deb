#!/usr/bin/env bash
# Runs the head on this machine's PyTorch with CUDA. MAIN names another main class.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work="${SPLITCOMPUTE_WORK:-/tmp/splitcompute-head}"
if [ ! -x "$work/jre/bin/java" ]; then
  mkdir -p "$work/natives"
  tar -C "$work" -xf "$here/head.tar.xz"
  torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))')
  # Links are right: Java resolves them, so libtorch finds its CUDA libraries by its own paths.
  ln -sf "$torch"/lib/lib*.so* "$work/natives/"
  xz -dc "$here/libdjl_torch.so.xz" > "$work/natives/libdjl_torch.so"
  python3 -c 'import torch; print(torch.__version__.split("+")[0]); print(torch.__version__.split("+")[1])' > "$work/version"
  echo "$torch" > "$work/torch"
fi
export DJL_OFFLINE=true PYTORCH_LIBRARY_PATH="$work/natives"
PYTORCH_VERSION=$(sed -n 1p "$work/version")
PYTORCH_FLAVOR=$(sed -n 2p "$work/version")
# cuDNN's attention plans each new shape for 75 ms; the others take about 9.
export PYTORCH_VERSION PYTORCH_FLAVOR TORCH_CUDNN_SDPA_DEPRIORITIZED="${TORCH_CUDNN_SDPA_DEPRIORITIZED:-1}"
options=()
if [ "${1:-}" = --weights ]; then
  options+=("-Dsplitcompute.weights=$2")
  shift 2
fi
exec "$work/jre/bin/java" --enable-native-access=ALL-UNNAMED \
  -Djna.library.path="$(cat "$work/torch")/../nvidia/cu13/lib" \
  -cp "$work/jars/*" "${options[@]}" ${JAVA_OPTIONS:-} "${MAIN:-io.splitcompute.head.HeadApplication}" "$@"
