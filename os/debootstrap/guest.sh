# Turns an installed system into one guest's own: name, file systems, network, accounts.
# Sourced by create, after parameters.sh; works on a directory and knows nothing of disks.
# shellcheck shell=bash disable=SC2154 # read_parameters and read_hostname set the variables

# $1 is the directory, $2 the UUID its file system will have.
configure_guest() {
    local root=$1 uuid=$2
    echo "$guest_hostname" >"$root/etc/hostname"
    write_hosts "$guest_hostname" >"$root/etc/hosts"
    echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"
    configure_network "$root"
    configure_accounts "$root"
    if [[ -x $root/usr/bin/ssh-keygen ]]; then
        chroot "$root" ssh-keygen -q -A
    fi
}

write_hosts() {
    local short=${1%%.*}
    echo "127.0.0.1 localhost"
    echo "::1 localhost ip6-localhost ip6-loopback"
    if [[ $short == "$1" ]]; then
        echo "127.0.1.1 $1"
    else
        echo "127.0.1.1 $1 $short"
    fi
}

configure_network() {
    local root=$1 count=${NIC_COUNT:-0} number
    [[ $count =~ ^[0-9]+$ ]] || fail "NIC_COUNT is not a number: '$count'"
    for ((number = 0; number < count; number++)); do
        # The order of NICs in the guest may change with its hardware, their addresses do not.
        describe_nic "$number" >"$root/etc/systemd/network/10-nic$number.network"
    done
}

describe_nic() {
    local mac_name=NIC_${1}_MAC ip_name=NIC_${1}_IP mode_name=NIC_${1}_MODE
    local mac=${!mac_name:-} ip=${!ip_name:-} mode=${!mode_name:-bridged} family=""
    [[ $mac =~ ^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$ ]] || fail "$mac_name is not a MAC address: '$mac'"
    printf '[Match]\nMACAddress=%s\n\n[Network]\n' "$mac"
    if [[ -z $ip ]]; then
        echo "DHCP=yes"
        return
    fi
    [[ $ip =~ ^[0-9a-fA-F.:]+$ ]] || fail "$ip_name is not an address: '$ip'"
    [[ $ip != *:* ]] || family=6
    local subnet_name=NIC_${1}_NETWORK_SUBNET$family gateway_name=NIC_${1}_NETWORK_GATEWAY$family
    local gateway=${!gateway_name:-}
    echo "Address=$ip/$(prefix_length "${!subnet_name:-}" "$mode" "$family")"
    [[ -n $gateway ]] || return 0
    [[ $gateway =~ ^[0-9a-fA-F.:]+$ ]] || fail "$gateway_name is not an address: '$gateway'"
    # A gateway outside the prefix (routed NICs) is reached through the link itself.
    printf '\n[Route]\nGateway=%s\nGatewayOnLink=yes\n' "$gateway"
}

# Without a network object nobody says how long the prefix is: on a bridge the usual one is taken,
# a routed NIC has its address alone.
prefix_length() {
    local subnet=$1 mode=$2 family=$3
    if [[ $subnet =~ /([0-9]+)$ ]]; then
        echo "${BASH_REMATCH[1]}"
    elif [[ $mode == routed ]]; then
        [[ -n $family ]] && echo 128 || echo 32
    else
        [[ -n $family ]] && echo 64 || echo 24
    fi
}

configure_accounts() {
    local root=$1
    if [[ -n $root_password ]]; then
        # From standard input: arguments can be seen by every user of the node.
        chroot "$root" chpasswd <<<"root:$root_password"
    else
        chroot "$root" passwd -q -l root
    fi
    if [[ -n $authorized_keys ]]; then
        install -d -m 700 "$root/root/.ssh"
        (umask 077 && echo "$authorized_keys" >"$root/root/.ssh/authorized_keys")
    fi
}
