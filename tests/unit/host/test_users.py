"""The cluster's users and groups."""

from __future__ import annotations

import pytest

from ganeti.errors import ConfigurationError
from ganeti.host.users import Accounts, accounts_of_this_machine

USERS = {"root": 0, "gnt-masterd": 104, "gnt-confd": 103, "gnt-rapi": 106, "somebody": 1000}
GROUPS = {
    "root": 0,
    "gnt-masterd": 110,
    "gnt-confd": 107,
    "gnt-rapi": 112,
    "gnt-luxid": 109,
    "gnt-daemons": 108,
    "gnt-admin": 106,
    "somebody": 1000,
}


def resolved(users: dict[str, int], groups: dict[str, int]) -> Accounts:
    return accounts_of_this_machine(user=users.__getitem__, group=groups.__getitem__)


def test_the_packaged_names_are_found() -> None:
    accounts = resolved(USERS, GROUPS)
    assert (accounts.masterd_uid, accounts.masterd_gid, accounts.daemons_gid) == (104, 110, 108)
    assert (accounts.uid("gnt-confd"), accounts.gid("gnt-admin"), accounts.uid("root")) == (103, 106, 0)
    assert (accounts.user_name(106), accounts.group_name(108)) == ("gnt-rapi", "gnt-daemons")


def test_without_the_packaged_users_everything_is_roots() -> None:
    accounts = resolved({"root": 0}, {"root": 0})
    assert (accounts.masterd_uid, accounts.daemons_gid, accounts.uid("root"), accounts.gid("root")) == (0, 0, 0, 0)
    with pytest.raises(ConfigurationError, match="gnt-masterd"):
        accounts.uid("gnt-masterd")


@pytest.mark.parametrize("name", ["gnt-confd", "gnt-rapi", "gnt-daemons", "gnt-luxid"])
def test_a_half_installed_set_is_an_error_naming_what_is_missing(name: str) -> None:
    users = {key: value for key, value in USERS.items() if key != name}
    groups = {key: value for key, value in GROUPS.items() if key != name}
    with pytest.raises(ConfigurationError, match=f"{name} does not exist"):
        resolved(users, groups)


def test_other_users_of_the_machine_are_nobodys_business() -> None:
    accounts = resolved(USERS, GROUPS)
    with pytest.raises(ConfigurationError, match="user somebody is none of the cluster's"):
        accounts.uid("somebody")
    with pytest.raises(ConfigurationError, match="group somebody"):
        accounts.gid("somebody")
    with pytest.raises(ConfigurationError, match="user number 1000"):
        accounts.user_name(1000)
    with pytest.raises(ConfigurationError, match="group number 1000"):
        accounts.group_name(1000)


def test_this_machine_has_one_set_or_the_other() -> None:
    assert accounts_of_this_machine().noded_uid == 0
