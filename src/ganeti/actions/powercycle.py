"""Restarting the node at once, after the caller got its answer."""

from __future__ import annotations

import logging
import threading

from ganeti.actions.node import Node
from ganeti.errors import NodeError, NotSupported
from ganeti.hypervisor.base import Powercyclable
from ganeti.model.base import Parameters

log = logging.getLogger(__name__)

DELAY_S = 5.0


def powercycle(node: Node, hypervisor: str, hvparams: Parameters | None = None) -> str:
    """Restart the node in 5 s without shutting anything down; return a text saying so.

    What goes wrong then can only be logged. Raises: NodeError for an unknown hypervisor.
    """
    driver = node.hypervisors.get(hypervisor)
    if not isinstance(driver, Powercyclable):
        raise NotSupported(hypervisor, "restarting the node")
    # Not a daemon thread: a stop of this process in the meantime must not cancel what was promised.
    threading.Thread(target=_act, args=(node, driver, hvparams), name="powercycle").start()
    return f"Reboot scheduled in {DELAY_S:.0f} seconds"


def _act(node: Node, driver: Powercyclable, hvparams: Parameters | None) -> None:
    log.warning("Restarting this node in %.0f seconds, as it was told to", DELAY_S)
    node.clock.sleep(DELAY_S)
    try:
        driver.powercycle(hvparams)
    except NodeError:
        log.exception("The node could not be restarted")
