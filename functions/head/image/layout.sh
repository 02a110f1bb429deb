#!/usr/bin/env bash
# Lays out what an image holds: jars, natives unpacked, entry point. The Dockerfiles run it, and so do tests and the measure of cold starts.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: layout.sh TARGET ROOT cpu|cuda|catalog   (TARGET: functions/head/target after ./mvnw package, or functions/catalog/target/lambda;" \
    "ROOT: an empty folder, the image's /app)" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target="$1" root="$2" flavor="$3"
case "$flavor" in
  cpu) natives=cpu ;;
  cuda) natives=cu128 ;;
  catalog) natives= ;;
  *) echo "layout.sh: '$flavor' is none of cpu, cuda and catalog" >&2; exit 2 ;;
esac
mkdir -p "$root"
cp "$here/entrypoint.sh" "$root/entrypoint.sh"
chmod 755 "$root/entrypoint.sh"
if [ "$flavor" = catalog ]; then
  mkdir "$root/jars"
  cp "$target"/lib/*.jar "$root/jars/"
  # A small program that answers in no time: compiling more than the first compiler does costs more than it gives.
  echo -XX:+UseSerialGC -XX:TieredStopAtLevel=1 io.splitcompute.catalog.CatalogApplication > "$root/server"
  exit
fi
echo io.splitcompute.head.HeadApplication > "$root/server"
arch=$(uname -m)
mkdir -p "$root/jars" "$root/natives"
cp "$target"/head-*.jar "$target"/lib/*.jar "$root/jars/"

# DJL would unpack these at each start, into a folder that is read-only.
unpack() { # jar, folder within
  local scratch
  scratch=$(mktemp -d)
  (cd "$scratch" && jar xf "$1" "$2")
  find "$scratch/$2" -type f -exec cp {} "$root/natives/" \;
  rm -r "$scratch"
}
for jar in "$root"/jars/pytorch-native-cpu-*.jar; do
  if [ -e "$jar" ]; then
    # With CUDA PyTorch is the image's own: one build of the jars serves both images.
    if [ "$flavor" = cpu ]; then
      unpack "$jar" pytorch/cpu/linux-"$arch"
    fi
    rm "$jar"
  fi
done
unpack "$(echo "$root"/jars/pytorch-jni-*.jar)" "jnilib/linux-$arch/$natives"
version=$(basename "$root"/jars/pytorch-jni-*.jar .jar | sed 's/pytorch-jni-\([0-9.]*\)-.*/\1/')
rm "$root"/jars/pytorch-jni-*.jar
printf 'PYTORCH_VERSION=%s\nPYTORCH_FLAVOR=%s\n' "$version" "$natives" > "$root/natives/versions"
