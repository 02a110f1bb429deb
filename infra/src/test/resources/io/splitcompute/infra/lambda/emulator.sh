# Runs the emulator's multi-concurrency mode, which starts nothing but /var/task/bootstrap and leaves root for another user:
# in a mount namespace (of unshare --mount) with a /var and a /tmp of its own, so that the machine stays as it is.
#   emulator.sh EMPTY_FOLDER FUNCTION_FOLDER EMULATOR [ARGUMENT...]
set -eu
root="$1" function="$2" emulator="$3"
shift 3
mount -t tmpfs tmpfs "$root"
mkdir "$root/task"
mount --bind "$function" "$root/task"
cp "$emulator" "$root/emulator"
mount --rbind "$root" /var
mount -t tmpfs -o mode=1777 tmpfs /tmp
cd /var/task
exec /var/emulator "$@"
