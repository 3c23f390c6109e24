"""How a node is put together."""

from __future__ import annotations

import pytest

from ganeti.actions.node import Node
from ganeti.errors import ConfigurationError
from ganeti.host import net


def test_a_node_has_the_fully_qualified_name_the_master_knows_it_by() -> None:
    assert Node.of_this_machine({}).hostname == net.full_name()


def test_a_virtual_node_has_its_name_from_the_environment() -> None:
    node = Node.of_this_machine({"GANETI_ROOTDIR": "/srv/virtual/node7", "GANETI_HOSTNAME": "node7"})

    assert node.hostname == "node7"
    assert str(node.paths.data_dir) == "/srv/virtual/node7/var/lib/ganeti"


@pytest.mark.parametrize(
    "env", [{"GANETI_HOSTNAME": "node7"}, {"GANETI_ROOTDIR": "/srv/x", "GANETI_HOSTNAME": "node7"}]
)
def test_half_a_virtual_node_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Node.of_this_machine(env)
