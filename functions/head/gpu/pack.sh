#!/usr/bin/env bash
# Packs the head for a Linux x86-64 machine that has Python's PyTorch with CUDA, and neither Java nor a network.
set -euo pipefail

MOST_BYTES=$((60 * 1024 * 1024))

usage() {
  cat <<TEXT
usage: pack.sh --jni FILE --out FOLDER [--jdk FOLDER] [--fixtures FOLDER]

Writes FOLDER/start.sh, which runs the head there: start.sh [--weights file:STORE] [head's options].
It holds the head's jars without PyTorch for CPUs, a Java runtime and DJL's library.

  --jni FILE    DJL's JNI library for that machine's PyTorch, libdjl_torch.so.xz: PyTorch's CUDA libraries are not packed,
                those of the machine are used
  --fixtures FOLDER
                small checkpoints for check.py, each in a folder of its own (fixtures/); needs weights/ packaged too
  --jdk FOLDER  the JDK to make the runtime of; default JAVA_HOME

Before: ./mvnw -pl functions/head -am -DskipTests package
TEXT
}

jni='' out='' fixtures='' jdk="${JAVA_HOME:-}"
while [ $# -gt 0 ]; do
  case "$1" in
    --jni) jni="$2"; shift 2 ;;
    --out) out="$2"; shift 2 ;;
    --fixtures) fixtures="$2"; shift 2 ;;
    --jdk) jdk="$2"; shift 2 ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
if [ -z "$jni" ] || [ -z "$out" ] || [ -z "$jdk" ]; then
  usage >&2
  exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$(cd "$here/.." && pwd)/target
lib="$target/lib"
if [ ! -d "$lib" ]; then
  echo "pack.sh: $lib is missing; run ./mvnw -pl functions/head -am -DskipTests package first" >&2
  exit 1
fi

rm -rf "$out"
mkdir -p "$out/jars"
cp "$target"/head-*.jar "$lib"/*.jar "$out/jars/"
# Load generator and engine times, if they were built (-Pbench).
bench="$here/../../bench/target"
if [ -d "$bench/lib" ]; then
  cp "$bench"/head-bench-*.jar "$bench"/lib/picocli-*.jar "$out/jars/"
fi
# PyTorch and DJL's library for it are the machine's own.
rm -f "$out"/jars/pytorch-native-*.jar "$out"/jars/pytorch-jni-*.jar
# Nor is Lambda there.
rm -f "$out"/jars/aws-lambda-java-runtime-interface-client-*.jar "$out"/jars/aws-lambda-java-serialization-*.jar
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Stored jars in one archive take half of what compressed ones do. Other platforms' natives stay behind.
python3 - "$out/jars" "$work/jars" <<'PYTHON'
import os, sys, zipfile
source, target = sys.argv[1:]
os.mkdir(target)
for name in sorted(os.listdir(source)):
    with zipfile.ZipFile(os.path.join(source, name)) as old, zipfile.ZipFile(os.path.join(target, name), 'w', zipfile.ZIP_STORED) as new:
        for entry in old.namelist():
            if (entry.startswith('native/lib/') and not entry.endswith('/') and '/linux-x86_64/' not in entry and not entry.endswith('.properties')):
                continue
            if entry.startswith('com/sun/jna/') and entry.endswith(('.so', '.dll', '.jnilib', '.a')) and '/linux-x86-64/' not in entry:
                continue
            new.writestr(entry, old.read(entry))
PYTHON
rm -r "$out/jars"

"$jdk/bin/jlink" --strip-debug --no-header-files --no-man-pages --compress=zip-0 --output "$work/jre" \
  --add-modules java.base,java.logging,java.management,java.naming,java.sql,java.xml,java.net.http,java.instrument,java.security.jgss,java.compiler,jdk.unsupported,jdk.crypto.ec,jdk.zipfs,jdk.management,jdk.httpserver,jdk.jfr
rm -f "$work"/jre/lib/server/classes*.jsa
tar -C "$work" -c jre jars | xz -6 > "$out/head.tar.xz"
cp "$jni" "$out/libdjl_torch.so.xz"

cp "$here/start.sh" "$here/check.py" "$out/"
if [ -n "$fixtures" ]; then
  mkdir -p "$out/fixtures/checkpoints"
  for config in "$fixtures"/*/config.json; do
    checkpoint=$(dirname "$config")
    mkdir "$out/fixtures/checkpoints/${checkpoint##*/}"
    cp "$checkpoint"/config.json "$checkpoint"/model*.safetensors* "$out/fixtures/checkpoints/${checkpoint##*/}/"
    "$jdk/bin/java" -jar "$here/../../../weights/target/splitcompute-weights.jar" shard "$checkpoint" --out "$out/fixtures/store" --dtype f32
  done
fi

bytes=$(du -sb "$out" | cut -f1)
if [ "$bytes" -gt "$MOST_BYTES" ]; then
  echo "pack.sh: $out has $bytes bytes, more than $MOST_BYTES; the largest:" >&2
  du -ab "$out" | sort -rn | sed -n 2,8p >&2
  exit 1
fi
echo "$out: $bytes bytes"
