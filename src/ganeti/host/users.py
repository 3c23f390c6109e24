"""The users and groups of the cluster's daemons, which own the files a node keeps for them.

Debian's packages give each daemon its own user; where those are missing every role is root's. Only these few names may
travel: the machine's other users are nobody's business. Source: what the packages of Ganeti 3.0.2-3 create.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from ganeti.errors import ConfigurationError

Key = TypeVar("Key")
Value = TypeVar("Value")

ROOT: Final = "root"

# wconfd and luxid run as masterd's user, mond as root; nothing that travels belongs to metad
_USERS: Final = {"masterd": "gnt-masterd", "confd": "gnt-confd", "rapi": "gnt-rapi", "noded": ROOT}
_GROUPS: Final = {
    "masterd": "gnt-masterd",
    "confd": "gnt-confd",
    "rapi": "gnt-rapi",
    "luxid": "gnt-luxid",
    "noded": ROOT,
    "daemons": "gnt-daemons",
    "admin": "gnt-admin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The numbers of the cluster's users and groups on this node, by name, and the owners of the usual files."""

    users: Mapping[str, int]
    groups: Mapping[str, int]
    masterd_uid: int
    masterd_gid: int
    confd_uid: int
    confd_gid: int
    rapi_uid: int
    rapi_gid: int
    noded_uid: int
    noded_gid: int
    luxid_gid: int
    daemons_gid: int
    admin_gid: int

    def uid(self, name: str) -> int:
        """Number of one of the cluster's users. Raises: ConfigurationError."""
        return _known("user", name, self.users)

    def gid(self, name: str) -> int:
        """Number of one of the cluster's groups. Raises: ConfigurationError."""
        return _known("group", name, self.groups)

    def user_name(self, uid: int) -> str:
        """Name of one of the cluster's users. Raises: ConfigurationError."""
        return _known("user number", uid, {number: name for name, number in self.users.items()})

    def group_name(self, gid: int) -> str:
        """Name of one of the cluster's groups. Raises: ConfigurationError."""
        return _known("group number", gid, {number: name for name, number in self.groups.items()})


def find_user(name: str) -> int:
    """Number of a user of this machine. Raises: KeyError."""
    return pwd.getpwnam(name).pw_uid


def find_group(name: str) -> int:
    """Number of a group of this machine. Raises: KeyError."""
    return grp.getgrnam(name).gr_gid


def accounts_of_this_machine(
    user: Callable[[str], int] = find_user, group: Callable[[str], int] = find_group
) -> Accounts:
    """Look the names up: those of the packages, or root for all where they are not installed.

    Raises: ConfigurationError when some are there and others are not.
    """
    try:
        user(_USERS["masterd"])
    except KeyError:
        user_names, group_names = dict.fromkeys(_USERS, ROOT), dict.fromkeys(_GROUPS, ROOT)
    else:
        user_names, group_names = _USERS, _GROUPS
    uids = {role: _found("user", name, user) for role, name in user_names.items()}
    gids = {role: _found("group", name, group) for role, name in group_names.items()}
    return Accounts(
        users={name: uids[role] for role, name in user_names.items()},
        groups={name: gids[role] for role, name in group_names.items()},
        masterd_uid=uids["masterd"],
        masterd_gid=gids["masterd"],
        confd_uid=uids["confd"],
        confd_gid=gids["confd"],
        rapi_uid=uids["rapi"],
        rapi_gid=gids["rapi"],
        noded_uid=uids["noded"],
        noded_gid=gids["noded"],
        luxid_gid=gids["luxid"],
        daemons_gid=gids["daemons"],
        admin_gid=gids["admin"],
    )


def _found(kind: str, name: str, find: Callable[[str], int]) -> int:
    try:
        return find(name)
    except KeyError as err:
        raise ConfigurationError(f"{kind} {name} does not exist on this node") from err


def _known(kind: str, key: Key, table: Mapping[Key, Value]) -> Value:
    try:
        return table[key]
    except KeyError as err:
        raise ConfigurationError(f"{kind} {key} is none of the cluster's") from err
