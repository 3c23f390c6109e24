# shellcheck shell=bash
# What the scripts of this provider share: the volume they are called for, its lock and its loop devices.
#
# A volume is the file DIRECTORY/NAME.img, and DIRECTORY/NAME.info says whose it is. Files that are not finished begin
# with a dot, which no volume's name does. The lock of a volume is one on its file, so nothing is left of it.

set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 077

fail() {
  echo "$*" >&2
  exit 1
}

# Names become parts of paths and words of commands.
check_name() {
  case $1 in
    '' | [.-]* | *[!A-Za-z0-9_.+:-]*) fail "'$1' cannot be the name of a volume" ;;
  esac
}

check_directory() {
  case $1/ in
    [!/]* | //* | */../* | */./*) fail "directory '$1' is not an absolute path in normal form" ;;
    *$'\n'*) fail "a directory's name has no line end" ;;
  esac
}

directory=${EXTP_DIRECTORY:-/var/lib/ganeti-loop}
check_directory "$directory"
volume=${VOL_NAME:?must be set}
check_name "$volume"
file=$directory/$volume.img
# shellcheck disable=SC2034 # for the scripts
info=$directory/$volume.info

# Take the lock of the volume as descriptor 9; fails when there is no such volume.
lock_volume() {
  [ -f "$file" ] && [ ! -L "$file" ] || return 1
  exec 9<"$file" || return 1
  flock 9 || fail "cannot lock $file"
  # somebody may have removed it while this one waited
  [ "$file" -ef /proc/self/fd/9 ]
}

# The loop devices of the volume, one a line.
loop_devices() {
  losetup --list --noheadings --output NAME --associated "$file"
}

# Whether a program has a file or device open with the permissions given (the scripts open a volume's file for reading).
is_open() {
  local pattern
  pattern=$(printf '%s' "$1" | sed 's/[][*?\\]/\\&/g')
  [ -n "$(find /proc/[0-9]*/fd -lname "$pattern" -perm "$2" -print -quit 2>/dev/null)" ]
}

# Whether the volume is used: its file by a guest, or a loop device that is mounted, part of another device, or open.
is_used() {
  local device
  is_open "$file" -u+w && return
  for device in $(loop_devices); do
    grep -q "^$device " /proc/mounts && return
    [ -z "$(ls "/sys/block/${device#/dev/}/holders")" ] || return 0
    is_open "$device" -u+r && return
  done
  return 1
}

# Give a finished file its name unless that is taken; `mv` would replace what is there.
publish() {
  sync "$1"
  ln -T "$1" "$2" 2>/dev/null || fail "$2 exists"
  rm -f -- "$1"
  sync "$directory"
}
