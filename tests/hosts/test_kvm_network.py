"""Interfaces of guests joined to the node's network by the shipped script, in name spaces of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.hosts.kvm_node import KvmNode, guest, kvm_nodes, wait_until_sent

from ganeti.errors import HypervisorError
from ganeti.host import net
from ganeti.host.runner import SystemRunner
from ganeti.hypervisor.drivers.kvm import console
from ganeti.model.instance import MigrationState
from ganeti.model.network import Network, Nic

SCRIPT = console.shipped("kvm-ifup")
PREPARE = """
set -e
mount -t sysfs none /sys
ip link add br0 type bridge
ip link set br0 mtu 1400 up
ip tuntap add dev t0 mode tap
"""


def joined(script: str = "", after: str = "", **env: str) -> str:
    """Run the shipped script for interface t0 in a fresh network name space; return what `after` prints there."""
    text = f"{PREPARE}\n{script}\n{SCRIPT} t0 >&2\n{after}"
    settings = {"INTERFACE": "t0", "CONF_DIR": "/nonexistent"} | env
    result = SystemRunner().run(["unshare", "--net", "--mount", "sh", "-c", text], env=settings)
    assert not result.failed, result.output
    return result.stdout


def link(output: str) -> dict[str, object]:
    (first,) = json.loads(output)
    assert isinstance(first, dict)
    return first


BRIDGED = {"MODE": "bridged", "LINK": "br0", "MAC": "aa:00:00:00:00:01"}


def test_a_bridged_interface_is_up_in_its_bridge_with_its_mtu_and_a_high_address() -> None:
    found = link(joined(after="ip -j link show t0", **BRIDGED))
    assert (found["master"], found["mtu"], found["address"]) == ("br0", 1400, "fe:00:00:00:00:01")
    assert "UP" in str(found["flags"])


def recorded(directory: Path, program: str) -> str:
    """Shell text that puts a program in front of the real one which only notes its arguments."""
    (directory / program).write_text(f'#!/bin/sh\necho "$@" >> {directory}/{program}.calls\n')
    (directory / program).chmod(0o755)
    return f"PATH={directory}:$PATH\n"


@pytest.mark.parametrize(
    ("vlan", "added"),
    [
        ("10", ["vid 10 pvid untagged"]),
        (".10", ["vid 10 pvid untagged"]),
        (":20:30", ["vid 20", "vid 30"]),
        (".10:20:30", ["vid 10 pvid untagged", "vid 20", "vid 30"]),
    ],
)
def test_vlans_are_set_on_a_bridge_that_filters_them(tmp_path: Path, vlan: str, added: list[str]) -> None:
    # the kernel of a test machine may be without VLAN filtering, so it is told there is, and what is asked is noted
    filtering = (
        "mount -t tmpfs none /sys/class/net; mkdir -p /sys/class/net/br0/bridge\n"
        "echo 1 > /sys/class/net/br0/bridge/vlan_filtering; echo 1500 > /sys/class/net/br0/mtu\n"
    )
    joined(recorded(tmp_path, "bridge") + filtering, VLAN=vlan, **BRIDGED)
    assert (tmp_path / "bridge.calls").read_text().splitlines() == [
        "vlan del dev t0 vid 1",
        *(f"vlan add dev t0 {each}" for each in added),
    ]


def test_vlans_on_a_bridge_that_does_not_filter_are_refused() -> None:
    with pytest.raises(AssertionError, match="br0 does not filter VLANs"):
        joined(VLAN="10", **BRIDGED)


@pytest.mark.parametrize(
    ("vlan", "options"), [("", ""), ("10", " tag=10"), (".10:20:30", " tag=10 trunks=20,30"), (":20", " trunks=20")]
)
def test_a_switch_gets_the_port_with_its_vlans(tmp_path: Path, vlan: str, options: str) -> None:
    joined(recorded(tmp_path, "ovs-vsctl"), MODE="openvswitch", LINK="sw0", VLAN=vlan)
    assert (tmp_path / "ovs-vsctl.calls").read_text() == f"-- --if-exists del-port t0 -- add-port sw0 t0{options}\n"


def test_a_routed_interface_gets_a_route_in_its_table() -> None:
    after = "ip -j route show table 100; ip -j rule show; cat /proc/sys/net/ipv4/conf/t0/proxy_arp"
    env = {"MODE": "routed", "LINK": "100", "IP": "192.0.2.7", "MAC": "aa:00:00:00:00:01"}
    routes, rules, proxy = joined(after=after, **env).splitlines()
    assert [(route["dst"], route["dev"]) for route in json.loads(routes)] == [("192.0.2.7", "t0")]
    assert [rule["table"] for rule in json.loads(rules) if rule.get("iif") == "t0"] == ["100"]
    assert proxy == "1"


def test_a_routed_interface_without_table_gets_a_plain_route_also_for_ipv6() -> None:
    env = {"MODE": "routed", "IP": "2001:db8::7", "MAC": "aa:00:00:00:00:01"}
    output = joined(after="ip -6 -j route show dev t0; cat /proc/sys/net/ipv6/conf/t0/proxy_ndp", **env)
    assert '"dst":"2001:db8::7"' in output.replace(" ", "")
    assert output.splitlines()[-1] == "1"


@pytest.mark.parametrize(
    ("missing", "message"), [("LINK", "needs LINK"), ("MODE", "MODE is not set"), ("INTERFACE", "INTERFACE is not set")]
)
def test_what_is_missing_is_told(missing: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        joined(**BRIDGED | {missing: ""})


def test_a_routed_interface_needs_an_address() -> None:
    with pytest.raises(AssertionError, match="needs IP"):
        joined(MODE="routed", MAC="aa:00:00:00:00:01")


# With the driver -----------------------------------------------------------------------------------------------------


@pytest.fixture
def node() -> Iterator[KvmNode]:
    with kvm_nodes() as (one,):
        yield one


@pytest.fixture
def bridge() -> Iterator[str]:
    """A bridge of this machine that nobody else uses."""
    name = "kvmtest0"
    runner = SystemRunner()
    runner.check(["ip", "link", "add", name, "type", "bridge"])
    yield name
    runner.check(["ip", "link", "delete", name])


def nic(link: str, mode: str = "bridged", index: int = 0) -> Nic:
    return Nic(
        mac=f"aa:00:00:00:00:0{index}",
        uuid=f"0000000{index}-aaaa-bbbb-cccc-dddddddddddd",
        ip="192.0.2.9" if mode == "routed" else None,
        network="n1",
        netinfo=Network(name="net1", uuid="u1", network="192.0.2.0/24", tags=("t",)),
        nicparams={"mode": mode, "link": link, "vlan": ""},
    )


def test_a_guests_interfaces_are_in_the_bridge_while_it_runs(node: KvmNode, bridge: str) -> None:
    instance = msgspec.structs.replace(guest(), nics=(nic(bridge), nic(bridge, index=1)))
    node.driver.start(instance, (), startup_paused=True)
    files = node.driver.layout.guest(instance.name)
    taps = [files.nic(index).read_text() for index in range(2)]
    assert [Path(f"/sys/class/net/{tap}/master").resolve().name for tap in taps] == [bridge, bridge]
    node.driver.stop(instance, force=True)
    assert not any(net.interface_exists(tap) for tap in taps)


def test_a_network_that_cannot_be_joined_stops_the_start(node: KvmNode) -> None:
    instance = msgspec.structs.replace(guest(), nics=(nic("nosuchbr0"),))
    with pytest.raises(HypervisorError, match=r"cannot join interface 0 of instance g1\.test"):
        node.driver.start(instance, (), startup_paused=True)
    assert node.driver.list_instances() == []
    assert not node.driver.layout.guest(instance.name).runtime.exists()


def test_the_administrators_script_takes_the_place_of_the_shipped_one(node: KvmNode) -> None:
    script = node.paths.conf_dir / "kvm-vif-bridge"
    output = node.paths.root / "environment"
    script.write_text(f"#!/bin/sh\nenv > {output}\n")
    script.chmod(0o755)
    instance = msgspec.structs.replace(guest(), nics=(nic("anything"),), tags=("one", "two"))
    node.driver.start(instance, (), startup_paused=True)
    seen = dict(line.partition("=")[::2] for line in output.read_text().splitlines())
    assert (
        seen
        | {
            "INSTANCE": "g1.test",
            "MAC": "aa:00:00:00:00:00",
            "MODE": "bridged",
            "LINK": "anything",
            "BRIDGE": "anything",
            "VLAN": "",
            "INTERFACE": node.driver.layout.guest("g1.test").nic(0).read_text(),
            "INTERFACE_INDEX": "0",
            "INTERFACE_UUID": "00000000-aaaa-bbbb-cccc-dddddddddddd",
            "TAGS": "one two",
            "NETWORK_NAME": "net1",
            "NETWORK_SUBNET": "192.0.2.0/24",
            "NETWORK_TAGS": "t",
        }
        == seen
    )


def test_a_routed_interface_of_an_incoming_guest_is_joined_when_the_guest_is_there() -> None:
    with kvm_nodes(2) as (source, target):
        for each in (source, target):
            script = each.paths.conf_dir / "kvm-vif-bridge"
            script.write_text(f'#!/bin/sh\necho "$MODE" >> {each.paths.root}/joined\n')
            script.chmod(0o755)
        instance = msgspec.structs.replace(guest(), nics=(nic("100", "routed"), nic("br", index=1)))
        source.driver.start(instance, (), startup_paused=False)
        info = source.driver.migration_info(instance)
        target.driver.accept(instance, info, "127.0.0.1", ())
        assert (target.paths.root / "joined").read_text() == "bridged\n"
        source.driver.migrate(instance, "127.0.0.1", live=True)
        assert wait_until_sent(source, instance) is MigrationState.COMPLETED
        source.driver.finalize_source(instance, success=True, live=True)
        target.driver.finalize_target(instance, info, success=True)
        assert (target.paths.root / "joined").read_text() == "bridged\nrouted\n"


def test_the_shipped_scripts_are_there_and_run() -> None:
    for name in ("kvm-ifup", "kvm-console-wrapper"):
        script = console.shipped(name)
        assert script is not None
        assert shutil.which(str(script)) == str(script)
