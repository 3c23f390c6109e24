# Reads and checks what the scripts of this definition get in the environment.
# Sourced by them; it must not touch the disk.
# shellcheck shell=bash disable=SC2034 # the variables are for the scripts

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Sets `ticks` and `dhcp` (yes or no) and `chosen_hostname` (may be empty).
read_parameters() {
    ticks=${OSP_TICKS:-yes}
    dhcp=${OSP_DHCP:-no}
    chosen_hostname=${OSP_HOSTNAME:-}
    check_yes_no ticks "$ticks"
    check_yes_no dhcp "$dhcp"
    if [[ -n $chosen_hostname ]]; then
        check_hostname "parameter hostname" "$chosen_hostname"
    fi
}

check_yes_no() {
    [[ $2 == yes || $2 == no ]] || fail "parameter $1 must be yes or no, not '$2'"
}

check_variant() {
    # With API 20 the node always sets the variable; an empty one means the first variant.
    [[ ${OS_VARIANT:-default} == default ]] || fail "unknown variant '$OS_VARIANT': only 'default' is known"
}

# The kernel takes 64 characters for a host name; the rest is the syntax of RFC 1123.
check_hostname() {
    local label='[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?'
    if ((${#2} > 64)) || ! [[ $2 =~ ^$label(\.$label)*$ ]]; then
        fail "$1 is not a host name: '$2'"
    fi
}

# Sets `guest_hostname`.
read_hostname() {
    [[ -n ${INSTANCE_NAME:-} ]] || fail "INSTANCE_NAME is not set"
    guest_hostname=${chosen_hostname:-$INSTANCE_NAME}
    check_hostname "INSTANCE_NAME" "$guest_hostname"
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
