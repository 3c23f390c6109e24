"""The forms of 2.7: objects and dictionaries in, tuples and dictionaries out."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from ganeti import backend_forms as forms
from ganeti.config.ssconf import Ssconf
from ganeti.errors import ConfigurationError, InvalidParameter
from ganeti.host.paths import Paths
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.model.instance import Instance, InstanceInfo, RunState
from ganeti.model.os import OsDiagnosis

FILE_DISK = {
    "dev_type": "file",
    "logical_id": ["loop", "/srv/ganeti/file-storage/inst1/disk0"],
    "physical_id": ["loop", "/srv/ganeti/file-storage/inst1/disk0"],
    "iv_name": "disk/0",
    "size": 64,
    "mode": "rw",
    "params": {},
}
DRBD_DISK = {
    "dev_type": "drbd8",
    "logical_id": ["node1", "node2", 11000, 0, 3, "s3cret"],
    "physical_id": ["192.0.2.2", 11000, "192.0.2.1", 11000, 3, "s3cret"],
    "children": [
        {"dev_type": "lvm", "logical_id": ["xenvg", "x.disk0_data"], "size": 64},
        {"dev_type": "lvm", "logical_id": ["xenvg", "x.disk0_meta"], "size": 128},
    ],
    "iv_name": "disk/0",
    "size": 64,
}
INSTANCE = {
    "name": "inst1.example.com",
    "primary_node": "node1.example.com",
    "os": "debootstrap+default",
    "hypervisor": "fake",
    "hvparams": {},
    "beparams": {"maxmem": 128, "minmem": 128, "vcpus": 1},
    "osparams": {},
    "admin_state": "up",
    "nics": [{"mac": "aa:00:00:00:00:01", "nicparams": {"mode": "bridged", "link": "br0"}}],
    "disks": [FILE_DISK],
    "disk_template": "file",
    "serial_no": 1,
    "tags": ["b", "a"],
}


def as_object(form: dict[str, object], **changed: object) -> SimpleNamespace:
    """An object of 2.7 with these attributes, and with one of its own that we do not know."""
    return SimpleNamespace(**{**form, **changed, "all_nodes": ("node1",)})


class TestInstance:
    """`forms.instance`."""

    def test_a_dictionary_becomes_a_guest(self) -> None:
        guest = forms.instance(INSTANCE)
        assert guest.name == "inst1.example.com"
        assert guest.vcpus == 1
        assert guest.tags == ("a", "b")
        assert guest.nics[0].link == "br0"
        assert guest.disks is None
        assert [disk.dev_type for disk in guest.attached_disks] == [DiskType.FILE]

    def test_an_object_gives_the_same(self) -> None:
        disk = as_object(FILE_DISK, children=None)
        nic = as_object({"mac": "aa:00:00:00:00:01", "nicparams": {"mode": "bridged", "link": "br0"}}, netinfo=None)
        as_set = as_object(INSTANCE, disks=[disk], nics=[nic], tags={"a", "b"})
        assert forms.instance(as_set) == forms.instance(INSTANCE)

    def test_our_own_struct_passes_unchanged(self) -> None:
        guest = Instance(name="inst1")
        assert forms.instance(guest) is guest

    def test_the_form_of_3_0_is_taken_too(self) -> None:
        guest = forms.instance({"name": "inst1", "disks": ["some-uuid"], "disks_info": [FILE_DISK]})
        assert guest.disks == ("some-uuid",)
        assert len(guest.attached_disks) == 1

    def test_file_disks_of_a_shared_template_are_shared(self) -> None:
        guest = forms.instance({**INSTANCE, "disk_template": "sharedfile"})
        assert guest.attached_disks[0].dev_type is DiskType.SHAREDFILE

    @pytest.mark.parametrize(("was_up", "state"), [(True, "up"), (False, "down"), (None, "down")])
    def test_the_old_way_to_say_that_it_is_up(self, was_up: bool | None, state: str) -> None:
        assert forms.instance({"name": "inst1", "admin_up": was_up}).admin_state == state

    def test_an_interface_brings_its_network(self) -> None:
        network = {"name": "net1", "network": "192.0.2.0/24", "family": 4}
        guest = forms.instance({"name": "inst1", "nics": [{"mac": "aa:00:00:00:00:01", "netinfo": network}]})
        assert guest.nics[0].netinfo is not None
        assert guest.nics[0].netinfo.network == "192.0.2.0/24"

    @pytest.mark.parametrize(
        "form",
        [
            None,
            "inst1",
            17,
            [],
            {},
            object(),
            {"name": "a/b"},
            {"name": "inst1", "colour": "blue"},
            {"name": "inst1", "disks": "disk0"},
            {"name": "inst1", "disks": [3]},
            {"name": "inst1", "nics": {"mac": "x"}},
            {"name": "inst1", "hvparams": {"a": []}},
        ],
    )
    def test_nonsense_is_refused(self, form: object) -> None:
        with pytest.raises(InvalidParameter):
            forms.instance(form)


class TestDisk:
    """`forms.disk`."""

    @pytest.mark.parametrize(
        ("word", "kind"),
        [
            ("lvm", DiskType.PLAIN),
            ("plain", DiskType.PLAIN),
            ("drbd8", DiskType.DRBD),
            ("file", DiskType.FILE),
            ("sharedfile", DiskType.SHAREDFILE),
            ("blockdev", DiskType.BLOCKDEV),
            ("rbd", DiskType.RBD),
            ("ext", DiskType.EXT),
        ],
    )
    def test_types_of_both_releases_are_known(self, word: str, kind: DiskType) -> None:
        assert forms.disk({"dev_type": word, "logical_id": ["a", "b"]}).dev_type is kind

    def test_the_device_on_this_node_is_what_counts(self) -> None:
        renamed = {"dev_type": "lvm", "logical_id": ["xenvg", "old"], "physical_id": ["xenvg", "new"]}
        assert forms.disk(renamed).logical_id == ("xenvg", "new")
        assert forms.disk({"dev_type": "lvm", "physical_id": ("xenvg", "new")}).logical_id == ("xenvg", "new")

    @pytest.mark.parametrize(
        ("own", "minors"),
        [
            (("192.0.2.1", 11000, "192.0.2.2", 11000, 0, "s3cret"), (0, 3)),
            (("192.0.2.2", 11000, "192.0.2.1", 11000, 3, "s3cret"), (3, 0)),
        ],
    )
    def test_a_mirror_gets_its_addresses_and_minors(self, own: tuple[str | int, ...], minors: tuple[int, int]) -> None:
        disk = forms.disk({**DRBD_DISK, "physical_id": own})
        assert disk.logical_id == ("node1", "node2", 11000, 0, 3, "s3cret")
        assert disk.dynamic_params == {
            "local-ip": own[0],
            "remote-ip": own[2],
            "local-minor": minors[0],
            "remote-minor": minors[1],
        }
        assert disk.children is not None
        assert [child.dev_type for child in disk.children] == [DiskType.PLAIN, DiskType.PLAIN]

    def test_a_mirror_speaks_the_protocol_of_2_7_unless_its_parameters_say_another(self) -> None:
        assert forms.disk(DRBD_DISK).params is None
        assert forms.disk({**DRBD_DISK, "params": {"resync-rate": 1}}).params == {"resync-rate": 1, "protocol": "C"}
        assert forms.disk({**DRBD_DISK, "params": {"protocol": "A"}}).params == {"protocol": "A"}

    def test_a_mirror_without_a_node_has_a_full_identity_at_least(self) -> None:
        disk = forms.disk({"dev_type": "drbd8", "logical_id": ["node1", "node2", 11000, 0, 3]})
        assert disk.logical_id == ("node1", "node2", 11000, 0, 3, None)
        assert disk.dynamic_params is None

    def test_a_mirror_known_by_its_addresses_only(self) -> None:
        disk = forms.disk({"dev_type": "drbd8", "physical_id": DRBD_DISK["physical_id"]})
        assert disk.logical_id == (None, None, 11000, 3, None, "s3cret")

    def test_an_object_gives_the_same_as_its_dictionary(self) -> None:
        assert forms.disk(as_object(FILE_DISK)) == forms.disk(FILE_DISK)

    def test_our_own_struct_passes_unchanged(self) -> None:
        disk = Disk(dev_type=DiskType.FILE, logical_id=("loop", "/x"))
        assert forms.disk(disk) is disk

    @pytest.mark.parametrize(
        "form",
        [
            None,
            {"dev_type": "floppy", "logical_id": ["a", "b"]},
            {"dev_type": "lvm"},
            {"dev_type": "lvm", "logical_id": "xenvg/x"},
            {"dev_type": "lvm", "logical_id": [[]]},
            {"dev_type": "lvm", "logical_id": ["a", "b"], "size": -1},
            {"dev_type": "drbd8", "physical_id": ["192.0.2.1", 11000]},
            {"dev_type": "drbd8"},
        ],
    )
    def test_nonsense_is_refused(self, form: object) -> None:
        with pytest.raises(InvalidParameter):
            forms.disk(form)


class TestMirrors:
    """`forms.mirrors`: mirrors as one of their two nodes has them."""

    @pytest.mark.parametrize(
        ("own", "dynamic"),
        [
            ("node1", {"local-ip": "192.0.2.1", "remote-ip": "192.0.2.2", "local-minor": 0, "remote-minor": 3}),
            ("node2", {"local-ip": "192.0.2.2", "remote-ip": "192.0.2.1", "local-minor": 3, "remote-minor": 0}),
        ],
    )
    def test_addresses_and_minors_are_those_of_the_node(self, own: str, dynamic: dict[str, object]) -> None:
        stored = {key: value for key, value in DRBD_DISK.items() if key != "physical_id"}
        (disk,) = forms.mirrors([stored], {"node1": "192.0.2.1", "node2": "192.0.2.2"}, own)
        assert disk.dynamic_params == dynamic
        assert disk.logical_id == ("node1", "node2", 11000, 0, 3, "s3cret")

    def test_what_is_no_mirror_stays_as_it_is(self) -> None:
        assert forms.mirrors([FILE_DISK], {}, "node1") == (forms.disk(FILE_DISK),)

    def test_a_mirror_below_another_disk_counts_too(self) -> None:
        above = {**FILE_DISK, "children": [DRBD_DISK]}
        (disk,) = forms.mirrors([above], {"node1": "192.0.2.1", "node2": "192.0.2.2"}, "node2")
        assert disk.children is not None
        assert disk.children[0].dynamic_params is not None
        assert disk.children[0].dynamic_params["local-ip"] == "192.0.2.2"

    def test_one_known_by_its_addresses_only_keeps_them(self) -> None:
        known = {"dev_type": "drbd8", "physical_id": DRBD_DISK["physical_id"]}
        assert forms.mirrors([known], {}, "node1") == (forms.disk(known),)

    @pytest.mark.parametrize(("own", "addresses"), [("node3", {"node1": "a", "node2": "b"}), ("node1", {"node1": "a"})])
    def test_one_of_other_nodes_is_refused_without_its_secret(self, own: str, addresses: dict[str, str]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            forms.mirrors([DRBD_DISK], addresses, own)
        assert "s3cret" not in str(caught.value)


class TestRenames:
    """`forms.renames`."""

    def test_pairs_and_triples_are_taken(self) -> None:
        found = forms.renames([(FILE_DISK, ("loop", "/new")), (FILE_DISK, ["loop", "/newer"], ["loop", "/newer"])])
        assert [identity for _, identity in found] == [("loop", "/new"), ("loop", "/newer")]

    @pytest.mark.parametrize("form", [[(FILE_DISK,)], [FILE_DISK], "x", [(FILE_DISK, "/new")]])
    def test_nonsense_is_refused(self, form: object) -> None:
        with pytest.raises(InvalidParameter):
            forms.renames(form)


def test_a_running_guest_has_the_four_keys_of_2_7() -> None:
    found = InstanceInfo(name="inst1", hypervisor_id=1, memory=128, vcpus=2, state=RunState.RUNNING, time=1.5)
    assert forms.info(found) == {"memory": 128, "vcpus": 2, "state": "---b-", "time": 1.5}
    assert forms.all_info({"inst1": found}) == {"inst1": forms.info(found)}


def test_a_guest_that_switched_itself_off_is_just_down() -> None:
    found = InstanceInfo(name="inst1", hypervisor_id=-1, memory=0, vcpus=0, state=RunState.SHUTDOWN, time=0)
    assert forms.info(found) == {}
    assert forms.info(None) == {}
    assert forms.all_info({"inst1": found}) == {}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LocalDiskStatus.OKAY, 1),
        (LocalDiskStatus.SYNC, 2),
        (LocalDiskStatus.UNKNOWN, 2),
        (LocalDiskStatus.FAULTY, 3),
        (None, None),
    ],
)
def test_states_of_the_local_disk_have_the_numbers_of_2_7(ours: LocalDiskStatus | None, theirs: int | None) -> None:
    found = forms.device_status(BlockDevStatus(dev_path="/dev/x", ldisk_status=ours, is_degraded=False))
    assert (found.dev_path, found.ldisk_status, found.is_degraded) == ("/dev/x", theirs, False)


def test_a_diagnosis_is_a_tuple_of_seven() -> None:
    found = OsDiagnosis(
        name="os1",
        path="/srv/os1",
        is_valid=True,
        variants=("default",),
        parameters=(("a", "what it is"), ("b", "")),
        api_versions=(15, 20),
    )
    expected = ("os1", "/srv/os1", True, "", ["default"], [["a", "what it is"], ["b"]], [15, 20])
    assert forms.diagnosis(found) == expected


def test_every_node_of_2_7_makes_the_network_tests() -> None:
    asked = forms.verify_request(
        {
            "nodelist": [["n2", "n3"], {"n2": ["n9"]}],
            "node-net-test": [["n2", "192.0.2.2", "192.0.2.2"]],
            "master-ip": ["n1", "192.0.2.10"],
        },
        "n2",
    )
    assert asked.nodelist == (("n2", "n3"), {"n2": ("n9",)}, ("n2",))
    assert asked.node_net_test == ((("n2", "192.0.2.2", "192.0.2.2"),), ("n2",))
    assert asked.master_ip == ("n1", "192.0.2.10", ("n2",))
    assert asked.hypervisor is msgspec.UNSET


@pytest.mark.parametrize("judge", [forms.hosts_mode, forms.hook_phase, forms.reboot_type])
def test_an_unknown_word_is_refused(judge: object) -> None:
    assert callable(judge)
    with pytest.raises(InvalidParameter, match="full"):
        judge("full")


def test_the_masters_address_may_be_an_object() -> None:
    form = SimpleNamespace(name="node1", ip="192.0.2.10", netmask=24, netdev="eth0", ip_family=2)
    assert forms.master_parameters(form).netdev == "eth0"
    assert forms.master_parameters(msgspec.to_builtins(forms.master_parameters(form))).netmask == 24


def test_incomplete_cluster_data_has_no_master(paths: Paths) -> None:
    with pytest.raises(ConfigurationError, match="master_netdev"):
        forms.master_info(Ssconf(paths))
