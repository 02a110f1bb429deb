#!/usr/bin/env bash
# Lays out what the image holds: jars, natives unpacked, entry point. The Dockerfiles run it, and so does its test.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: layout.sh TARGET ROOT cpu|cuda   (TARGET: functions/head/target after ./mvnw package; ROOT: an empty folder, the image's /app)" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target="$1" root="$2" flavor="$3"
case "$flavor" in
  cpu) natives=cpu ;;
  cuda) natives=cu128 ;;
  *) echo "layout.sh: '$flavor' is neither cpu nor cuda" >&2; exit 2 ;;
esac
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

cp "$here/entrypoint.sh" "$root/entrypoint.sh"
chmod 755 "$root/entrypoint.sh"
