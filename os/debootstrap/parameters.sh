# Reads and checks what the scripts of this definition get in the environment.
# Sourced by them; it must not touch the disk.
# shellcheck shell=bash disable=SC2034 # the variables are for the scripts

known_variants=(bookworm trixie)

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Sets boot, suite, mirror (may be empty), extra_packages (an array), root_password, authorized_keys (both may be
# empty), cache_dir and cache_days.
read_parameters() {
    read_variant
    boot=${OSP_BOOT:-direct}
    [[ $boot == direct || $boot == grub ]] || fail "parameter boot must be direct or grub, not '$boot'"
    suite=${OSP_SUITE:-$variant}
    [[ $suite =~ ^[a-z][a-z0-9-]*$ ]] || fail "parameter suite is not the name of a release: '$suite'"
    mirror=${OSP_MIRROR:-}
    [[ -z $mirror || $mirror =~ ^(http|https|file)://?[A-Za-z0-9_.:/~%@+-]+$ ]] ||
        fail "parameter mirror is not a URL of http, https or file: '$mirror'"
    read_extra_packages
    read_credentials
    cache_dir=${OSP_CACHE_DIR:-/var/cache/ganeti-os/debootstrap}
    [[ $cache_dir == /* ]] || fail "parameter cache_dir is not an absolute path: '$cache_dir'"
    cache_days=${OSP_CACHE_DAYS:-7}
    [[ $cache_days =~ ^[0-9]{1,4}$ ]] || fail "parameter cache_days is not a number of days: '$cache_days'"
}

read_variant() {
    # With API 20 the node always sets the variable; an empty one means the first variant.
    variant=${OS_VARIANT:-${known_variants[0]}}
    [[ " ${known_variants[*]} " == *" $variant "* ]] ||
        fail "unknown variant '$variant': known are ${known_variants[*]}"
}

read_extra_packages() {
    local package extra=${OSP_EXTRA_PACKAGES:-}
    read -r -a extra_packages <<<"${extra//[,[:space:]]/ }"
    for package in "${extra_packages[@]}"; do
        [[ $package =~ ^[a-z0-9][a-z0-9.+-]+$ ]] ||
            fail "parameter extra_packages has '$package', which is not the name of a package"
    done
}

# The values are secrets or long, so the messages do not repeat them.
read_credentials() {
    local line
    root_password=${OSP_ROOT_PASSWORD:-}
    [[ $root_password != *$'\n'* ]] || fail "parameter root_password has more than one line"
    authorized_keys=${OSP_AUTHORIZED_KEYS:-}
    while IFS= read -r line; do
        [[ -z $line || $line =~ (ssh-|ecdsa-|sk-)[a-z0-9@.-]+\ [A-Za-z0-9+/=]+ ]] ||
            fail "parameter authorized_keys has a line which is not an SSH public key"
    done <<<"$authorized_keys"
}

# Sets `guest_hostname`. The kernel takes 64 characters; the rest is the syntax of RFC 1123.
read_hostname() {
    local label='[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?'
    guest_hostname=${INSTANCE_NAME:-}
    if ((${#guest_hostname} > 64)) || ! [[ $guest_hostname =~ ^$label(\.$label)*$ ]]; then
        fail "INSTANCE_NAME is not a host name: '$guest_hostname'"
    fi
}

# Sets `disk` to the value of the variable named $1 and `disk_size` to its size in bytes.
read_disk() {
    disk=${!1:-}
    [[ -n $disk ]] || fail "$1 is not set: the disk has no path on this node"
    if [[ -f $disk ]]; then
        disk_size=$(stat -L -c %s -- "$disk")
    elif [[ -b $disk ]]; then
        disk_size=$(blockdev --getsize64 "$disk")
    else
        fail "$1 is neither a file nor a block device: '$disk'"
    fi
}
