"""Physical volumes of exclusive storage: their standard size, who shares them, what is free."""

from __future__ import annotations

import pytest

from ganeti.errors import BlockDeviceError
from ganeti.storage import exclusive
from ganeti.tools.lvm import PhysicalVolume, VolumeGroup


def physical(
    name: str, size: float = 1000, *, free: float | None = None, group: str = "xenvg", volumes: tuple[str, ...] = ()
) -> PhysicalVolume:
    """A physical volume that can be used; empty unless said otherwise."""
    left = size if free is None else free
    return PhysicalVolume(
        name=name, group=group, free=left, size=size, used=size - left, attributes="a--", volumes=volumes
    )


@pytest.mark.parametrize(("sizes", "standard"), [((1031, 2000), 1000), ((104,), 100), ((1000,), 970)])
def test_the_smallest_sets_the_standard_less_three_percent(sizes: tuple[int, ...], standard: int) -> None:
    assert exclusive.standard_size([physical(str(size), size) for size in sizes]) == standard


@pytest.mark.parametrize(("size", "count"), [(0, 0), (1, 1), (970, 1), (971, 2), (1940, 2), (1941, 3)])
def test_a_disk_needs_as_many_as_its_size_fills(size: int, count: int) -> None:
    assert exclusive.required(size, [physical("a"), physical("b")]) == count


def test_physical_volumes_too_small_for_anything_are_told() -> None:
    with pytest.raises(BlockDeviceError, match="too small"):
        exclusive.required(1, [physical("a", 1)])


@pytest.mark.parametrize(("sizes", "is_fine"), [((1000, 1020), True), ((1000, 1021), False), ((1000,), True)])
def test_sizes_may_differ_by_a_margin(sizes: tuple[int, ...], is_fine: bool) -> None:
    assert (exclusive.size_problem([physical(str(size), size) for size in sizes]) is None) == is_fine


def test_shared_are_those_with_more_than_one_volume() -> None:
    found = [physical("a", volumes=("x", "y")), physical("b", volumes=("x",)), physical("c")]
    assert exclusive.shared_volumes(found) == [("a", ["x", "y"])]
    assert exclusive.shared_volumes([]) == []


@pytest.mark.parametrize(("free", "is_empty"), [(1000, True), (999, True), (998.9, False)])
def test_a_mib_is_lvms_own(free: float, is_empty: bool) -> None:
    assert bool(exclusive.empty([physical("a", free=free)])) == is_empty


def test_free_space_is_that_of_empty_ones_and_never_more_than_lvm_says() -> None:
    def group(free: float) -> VolumeGroup:
        return VolumeGroup(name="xenvg", free=free, size=4000, attributes="wz--n-")

    found = [physical("a"), physical("b"), physical("c", free=500), physical("d", group="othervg")]
    assert exclusive.free_space(found, group(2500)) == 1940
    assert exclusive.free_space(found, group(1500)) == 1500
    assert exclusive.free_space([physical("c", free=500)], group(500)) == 0
    assert exclusive.free_space([], group(500)) == 0


def test_room_to_grow_leaves_the_reserve() -> None:
    group = [physical("a", free=500), physical("b", free=10), physical("c")]
    assert exclusive.room_to_grow(group[:1], group) == 470
    assert exclusive.room_to_grow(group[:2], group) == 450
