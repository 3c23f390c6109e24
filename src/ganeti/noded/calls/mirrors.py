"""Calls about disks that have a copy on another node."""

from __future__ import annotations

from ganeti.actions import mirrors
from ganeti.noded.table import Call, Lane

CALLS: tuple[Call, ...] = (
    # it makes metadata, as creating does
    Call("blockdev_addchildren", mirrors.add_children, lane=Lane.LONG),
    Call("blockdev_removechildren", mirrors.remove_children),
    # these wait for the other node, up to a minute or two, and are not to keep short calls waiting
    Call("drbd_disconnect_net", mirrors.disconnect_network, lane=Lane.LONG),
    Call("drbd_attach_net", mirrors.attach_network, lane=Lane.LONG),
    Call("drbd_wait_sync", mirrors.wait_sync, lane=Lane.LONG),
    Call("drbd_needs_activation", mirrors.needs_activation, shared=True),
    Call("drbd_helper", mirrors.usermode_helper, shared=True),
)
