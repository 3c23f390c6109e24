"""Parameters of KVM guests: the table, what goes together, what the node must have."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.kvm.test_facts import facts

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.cpu_mask import ALL_CPUS, parse_cpu_mask, parse_cpu_masks
from ganeti.hypervisor.drivers.kvm.parameters import (
    PARAMETERS,
    check_together,
    flag,
    interface_on_node,
    number,
    single_line,
    text,
    validate_on_node,
)
from ganeti.hypervisor.parameters import check_syntax, defaults
from ganeti.model.base import Parameters, Scalar


def with_(**values: Scalar) -> Parameters:
    return defaults(PARAMETERS) | values


def test_the_table_has_the_parameters_of_the_release() -> None:
    assert len(PARAMETERS) == 65
    assert defaults(PARAMETERS)["spice_tls_ciphers"] == "HIGH:-DES:-3DES:-EXPORT:-DH"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boot_order", "tape"),
        ("boot_order", ""),
        ("cdrom_image_path", "relative.iso"),
        ("cdrom_image_path", "gopher://x/y.iso"),
        ("cpu_cores", -1),
        ("cpu_mask", "0-"),
        ("cpu_mask", "3-1"),
        ("disk_aio", "io_uring"),
        ("disk_cache", "directsync"),
        ("disk_type", "nvme"),
        ("kvm_flag", "maybe"),
        ("kvm_path", "kvm"),
        ("kvm_pci_reservations", 33),
        ("migration_bandwidth", -1),
        ("migration_mode", "fast"),
        ("migration_port", 65535),
        ("migration_port", 0),
        ("nic_type", "ne1000"),
        ("scsi_controller_type", ""),
        ("security_model", "root"),
        ("spice_ip_version", 5),
        ("usb_mouse", "rat"),
        ("virtio_net_queues", 0),
        ("virtio_net_queues", 9),
        ("vnc_x509_path", "/a/../b"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: Scalar) -> None:
    with pytest.raises(HypervisorError, match=name):
        check_syntax(PARAMETERS, with_(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cdrom_image_path", "https://x/y.iso"),
        ("cpu_mask", "0-1:2,5:all"),
        ("disk_type", "scsi-hd"),
        ("kvm_path", "/usr/bin/qemu-system-x86_64"),
        ("migration_bandwidth", 0),
        ("migration_port", 65534),
        ("virtio_net_queues", 8),
        ("spice_ip_version", None),
        ("root_path", None),
    ],
)
def test_a_good_value_is_taken(name: str, value: Scalar) -> None:
    check_syntax(PARAMETERS, with_(**{name: value}))


def test_the_defaults_go_together() -> None:
    check_together(with_())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel_path": "/k", "root_path": ""}, "root_path"),
        ({"boot_order": "cdrom"}, "cdrom_image_path"),
        ({"security_model": "user"}, "security_domain"),
        ({"security_model": "pool", "security_domain": "x"}, "security_domain"),
        ({"security_domain": "x"}, "security_domain"),
        ({"serial_speed": 1234}, "serial_speed 1234 must be one of 75"),
        ({"vnc_x509_verify": True}, "vnc_x509_path"),
        ({"spice_bind": "127.0.0.1", "spice_ip_version": 6}, "IPv4"),
        ({"spice_bind": "::1", "spice_ip_version": 4}, "IPv6"),
        ({"spice_ip_version": 4}, "spice_ip_version"),
        ({"spice_use_tls": True}, "spice_use_tls"),
        ({"spice_streaming_video": "all"}, "spice_streaming_video"),
        ({"disk_aio": "native"}, "disk_cache none"),
    ],
)
def test_what_does_not_go_together_is_refused(values: Parameters, message: str) -> None:
    with pytest.raises(HypervisorError, match=message):
        check_together(with_(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"serial_speed": 1234, "serial_console": False},
        {"spice_bind": "eth0", "spice_ip_version": 6},
        {"disk_aio": "native", "disk_cache": "none"},
        {"security_model": "user", "security_domain": "nobody"},
    ],
)
def test_what_goes_together_is_taken(values: Parameters) -> None:
    check_together(with_(**values))


def on_node(values: Parameters, version: str = "7.2") -> None:
    validate_on_node(with_(**values), facts(version), lambda name: name == "eth0")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"security_model": "user", "security_domain": "no-such-user"}, "no-such-user"),
        ({"vnc_bind_address": "eth1"}, "eth1"),
        ({"vnc_bind_address": "relative/path"}, "relative/path"),
        ({"spice_bind": "eth1"}, "eth1"),
        ({"spice_bind": "127.0.0.1", "vnc_bind_address": "127.0.0.1"}, "exclude"),
        ({"machine_version": "pc-i440fx-99"}, "pc-i440fx-99"),
        ({"machine_version": "pc-i440fx"}, "pc-i440fx"),
    ],
)
def test_what_the_node_has_not_is_refused(values: Parameters, message: str) -> None:
    with pytest.raises(HypervisorError, match=message):
        on_node(values)


def test_spice_needs_an_emulator_that_knows_it() -> None:
    with pytest.raises(HypervisorError, match="no SPICE"):
        on_node({"spice_bind": "127.0.0.1"}, "0.12")


@pytest.mark.parametrize(
    "values",
    [
        {"vnc_bind_address": "::"},
        {"vnc_bind_address": "eth0"},
        {"vnc_bind_address": "/var/run/vnc"},
        {"spice_bind": "eth0"},
        {"machine_version": "q35"},
        {"security_model": "user", "security_domain": "root"},
    ],
)
def test_what_the_node_has_is_taken(values: Parameters) -> None:
    on_node(values)


def test_what_cannot_be_an_interface_is_none() -> None:
    assert interface_on_node("lo")
    assert not interface_on_node("/var/run/vnc")
    assert not interface_on_node("a name that is far too long")


def test_values_are_read_with_their_defaults() -> None:
    assert text({}, "vga") == text({"vga": None}, "vga") == ""
    assert number({}, "migration_port") == number({"migration_port": None}, "migration_port") == 8102
    assert number({"migration_downtime": 0}, "migration_downtime") == 0
    assert flag({}, "acpi")
    assert flag({"acpi": None}, "acpi")
    assert not flag({"acpi": False}, "acpi")


def test_a_password_file_has_one_line(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("secret\n\n")
    assert single_line(str(path)) == "secret"
    for content in ("", "\n", "a\nb\n"):
        path.write_text(content)
        with pytest.raises(HypervisorError, match="exactly one line"):
            single_line(str(path))
    with pytest.raises(HypervisorError, match="cannot read"):
        single_line(str(tmp_path / "none"))


def test_cpu_masks() -> None:
    assert parse_cpu_mask("") == []
    assert parse_cpu_mask("0-2,5,1") == [0, 1, 2, 5, 1]
    assert parse_cpu_masks("") == []
    assert parse_cpu_masks("all") == [ALL_CPUS]
    assert parse_cpu_masks("0-1:3:all") == [frozenset({0, 1}), frozenset({3}), ALL_CPUS]


@pytest.mark.parametrize("mask", ["a", "1-2-3", "2-1", "1,", "-1", "0:x"])
def test_bad_cpu_masks_are_refused(mask: str) -> None:
    with pytest.raises(HypervisorError, match="CPU mask"):
        parse_cpu_masks(mask)
