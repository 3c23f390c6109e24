# Where the file system lies on the disk, and how it is made and changed there. Everything works on a file as on a
# block device, without loop devices and mounts. Sourced by the scripts, after parameters.sh.
# shellcheck shell=bash

# boot=direct: the file system is the disk. boot=grub: it begins after one MiB, which holds the partition table
# and the boot loader.
partition_offset=$((1024 * 1024))

# Prints the disk $1 in the form the programs of e2fsprogs take: with the offset, if the disk has a partition.
# The magic number of ext4, 0xef53, lies 1080 bytes after the beginning of the file system.
file_system_on() {
    if [[ $(magic_at 0 "$1") == 53ef ]]; then
        echo "$1"
    elif [[ $(magic_at "$partition_offset" "$1") == 53ef ]]; then
        echo "$1?offset=$partition_offset"
    else
        fail "there is no file system of this definition on $1"
    fi
}

magic_at() {
    dd if="$2" bs=1 skip=$(($1 + 1080)) count=2 status=none | od -An -tx1 | tr -d ' \n'
}

# Makes the file system on the disk $1 of $2 bytes from the directory $3, with the UUID $4.
make_whole_disk() {
    mkfs.ext4 -q -F -L root -U "$4" -d "$3" "$1"
}

# The same in a partition, with GRUB in front of it for the BIOS. grub-install would need the file system mounted;
# its two pieces are simple to place: boot.img in the first sector loads core.img, which it expects in the second,
# and core.img knows the file system and reads /boot/grub/grub.cfg there.
make_bootable_disk() {
    local disk=$1 size=$2 root=$3 uuid=$4 modules=$3/usr/lib/grub/i386-pc core=/boot/grub/core.img
    mkdir -p "$root/boot/grub"
    chroot "$root" grub-mkimage -O i386-pc -o "$core" -p '(hd0,msdos1)/boot/grub' \
        biosdisk part_msdos ext2 normal linux serial terminal configfile echo gzio search search_fs_uuid test
    (($(stat -c %s "$root$core") <= partition_offset - 512)) || fail "GRUB does not fit before the partition"
    write_grub_menu "$uuid" >"$root/boot/grub/grub.cfg"

    # The kernel need not know: only the guest uses the partition.
    echo "start=$((partition_offset / 512)), type=83, bootable" |
        sfdisk -q --no-reread --no-tell-kernel --wipe always --label dos "$disk"
    # The rest of the first sector is the partition table.
    dd if="$modules/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
    dd if="$root$core" of="$disk" bs=512 seek=1 conv=notrunc status=none
    # nodiscard: not every version of mke2fs adds the offset to the ranges it discards.
    mkfs.ext4 -q -F -L root -U "$uuid" -d "$root" -E "offset=$partition_offset,nodiscard" "$disk" \
        "$(((size - partition_offset) / 1024))k"
}

# /vmlinuz and /initrd.img are links which the kernel's package keeps on the newest version.
write_grub_menu() {
    cat <<MENU
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
menuentry "Debian" {
    linux /vmlinuz root=UUID=$1 ro console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
MENU
}

# A guest which was stopped by force has work in its journal, which would overwrite ours when it is mounted.
replay_journal() {
    local status=0
    e2fsck -p "$1" || status=$?
    # 1: errors were corrected, and that is fine.
    ((status <= 1)) || fail "the file system on $1 needs repair (e2fsck ended with $status)"
}

# Puts the file $2 of the node at the path $3 of the file system $1, for root, readable by all.
# debugfs ends with 0 even if a command failed, so the file is read back.
replace_file() {
    debugfs -w -f - "$1" >/dev/null 2>&1 <<COMMANDS
rm $3
write $2 $3
set_inode_field $3 mode 0100644
set_inode_field $3 uid 0
set_inode_field $3 gid 0
COMMANDS
    read_file "$1" "$3" | cmp -s - "$2" || fail "cannot write $3 on $1"
}

read_file() {
    debugfs -R "cat $2" "$1" 2>/dev/null
}
