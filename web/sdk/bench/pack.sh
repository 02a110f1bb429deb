#!/usr/bin/env bash
# Packs the bench, Node, Dawn, the Vulkan loader and SwiftShader into a folder that runs on a bare x86-64 Linux machine: about 35 MB.
# usage: pack.sh FOLDER     then, on that machine:  FOLDER/start.sh [bench.mjs options]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: pack.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)
web=$(cd "$here/../.." && pwd)
# Builds the programs, and unpacks the Chromium that has SwiftShader.
node "$here/run.mjs" bench --adapter swiftshader --help >/dev/null
dawn=$web/node_modules/webgpu/dist/linux-x64/dawn.node
swiftshader=$(dirname "$(ls "$web"/target/chromium-*/libvk_swiftshader.so)")
[ -f "$out/node.xz" ] || xz -T0 -6 -c "$(readlink -f "$(command -v node)")" >"$out/node.xz"
[ -f "$out/dawn.node.xz" ] || xz -T0 -6 -c "$dawn" >"$out/dawn.node.xz"
[ -f "$out/swiftshader.tar.xz" ] || tar -C "$swiftshader" -cJf "$out/swiftshader.tar.xz" vk_swiftshader_icd.json libvk_swiftshader.so
[ -f "$out/ort.wasm.xz" ] || xz -T0 -6 -c "$here"/dist/*.wasm >"$out/ort.wasm.xz"
compgen -G "$out/*.deb" >/dev/null ||
  (cd "$out" && apt-get download -q libvulkan1 libglvnd0 libegl1 libgl1 libglx0 libopengl0 libgles2 >/dev/null)
tar -C "$here/dist" --exclude '*.wasm' -cJf "$out/dist.tar.xz" .
cat >"$out/webgpu.js" <<'JS'
export const { create, globals } = (await import('node:module')).createRequire(import.meta.url)('./dawn.node')
JS
cat >"$out/start.sh" <<'SH'
#!/usr/bin/env bash
# usage: start.sh [options of the bench]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
at=${BENCH_FOLDER:-/tmp/splitcompute-bench}
module=$at/node_modules/webgpu
if [ ! -f "$at/ready" ]; then
  mkdir -p "$module"
  xz -dc "$here/node.xz" >"$at/node"
  chmod +x "$at/node"
  xz -dc "$here/dawn.node.xz" >"$module/dawn.node"
  cp "$here/webgpu.js" "$module/index.js"
  echo '{"name": "webgpu", "type": "module", "main": "index.js"}' >"$module/package.json"
  tar -C "$at" -xJf "$here/swiftshader.tar.xz"
  xz -dc "$here/ort.wasm.xz" >"$at/ort-wasm-simd-threaded.asyncify.wasm"
  for package in "$here"/*.deb; do dpkg -x "$package" "$at/deb"; done
  touch "$at/ready"
fi
tar -C "$at" -xJf "$here/dist.tar.xz"
icd=/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json
case " $* " in *" --adapter swiftshader "*) icd=$at/vk_swiftshader_icd.json ;; esac
[ -f "$icd" ] && export VK_DRIVER_FILES="$icd"
export LD_LIBRARY_PATH="$at/deb/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$at/node" "$at/${BENCH_PROGRAM:-bench}.mjs" "$@"
SH
chmod +x "$out/start.sh"
du -sh "$out"
