"""The node's functions under the names and with the parameters of release 2.7, for Python callers.

Every function is one step to an action: forms of 2.7 are turned into ours on the way in and back on the way out by
`backend_forms`. What goes wrong is raised as RPCFail, logged once. `docs/backend.md` lists what differs from 2.7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache, wraps
from pathlib import Path
from typing import Generic, NoReturn, ParamSpec, TypeVar

from ganeti import backend_forms as forms
from ganeti.actions import (
    allocator,
    blockdev,
    blockdev_data,
    bridges,
    device_cache,
    disk_links,
    ensure_daemon,
    etc_hosts,
    exports,
    external_storage,
    file_storage,
    hooks,
    instance_queries,
    instances,
    job_queue,
    membership,
    migration,
    mirrors,
    node_info,
    os_definitions,
    os_environment,
    os_scripts,
    powercycle,
    uploads,
    verify,
    volumes,
    watcher,
)
from ganeti.actions import master_ip as master_address
from ganeti.actions.node import Node
from ganeti.backend_forms import DeviceStatus, Form
from ganeti.config.ssconf import Ssconf
from ganeti.constants import DISK_SEPARATOR
from ganeti.errors import InvalidParameter, NodeError
from ganeti.host.paths import component
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk
from ganeti.model.instance import MigrationStatus
from ganeti.model.os import OperatingSystem
from ganeti.storage import allowed_paths, exclusive, tree
from ganeti.storage.base import BlockDevice

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_NODE: ContextVar[Node] = ContextVar("ganeti.backend node")


class RPCFail(Exception):
    """What a caller of this module has to expect; its only argument is the text."""


@contextmanager
def on_node(node: Node) -> Iterator[None]:
    """Let the functions of this module act on `node` instead of the machine this process runs on."""
    token = _NODE.set(node)
    try:
        yield
    finally:
        _NODE.reset(token)


@cache
def _this_machine() -> Node:
    return Node.of_this_machine()


def _node() -> Node:
    return _NODE.get(None) or _this_machine()


def _public(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what may go wrong into RPCFail."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (NodeError, OSError) as err:
            log.error("%s: %s", function.__name__, err)  # noqa: TRY400 - the text says it all
            raise RPCFail(str(err)) from err

    return guarded


Directories = str | Path | Iterable[str | Path] | None
"""One, or several; None means the node's own."""


def _places(directories: Directories, own: tuple[Path, ...]) -> tuple[Path, ...]:
    if directories is None:
        return own
    given = [directories] if isinstance(directories, str | Path) else directories
    return tuple(Path(one) for one in given)


def _node_searching(*, os: Directories = None, ext: Directories = None) -> Node:
    """The node, looking for operating system definitions or storage providers in these directories."""
    own = _node().paths
    paths = replace(
        own, os_search_path=_places(os, own.os_search_path), ext_search_path=_places(ext, own.ext_search_path)
    )
    return replace(_node(), system=replace(_node().system, paths=paths))


def _node_with_defaults(**replaced: object) -> Node:
    """The node, when nothing of what 2.7's own tests replace is replaced. Raises: InvalidParameter."""
    for name, value in replaced.items():
        if value is not None:
            raise InvalidParameter(name, "only the default is supported: act on another node by `on_node`")
    return _node()


def _opened(device: BlockDevice) -> BlockDevice:
    device.open()
    return device


def _attach_network(disks: tuple[Disk, ...], instance_name: str, *, both_primary: bool) -> None:
    mirrors.attach_network(_node(), disks, both_primary)
    if both_primary:  # a step of its own today
        blockdev.open(_node(), instance_name, disks, False)


class _LocalHooks(Generic[P]):
    """What RunLocalHooks makes of a function."""

    def __init__(self, opcode: str, hooks_path: str, build_env: Callable[P, Mapping[str, str]]) -> None:
        self._opcode = opcode
        self._hooks_path = hooks_path
        self._build_env = build_env

    def decorate(self, function: Callable[P, R]) -> Callable[P, R]:
        @_public
        @wraps(function)
        def between_hooks(*args: P.args, **kwargs: P.kwargs) -> R:
            results: list[R] = []
            hooks.around(
                _node(),
                self._opcode,
                self._hooks_path,
                lambda: self._build_env(*args, **kwargs),
                lambda: results.append(function(*args, **kwargs)),
            )
            return results[0]

        return between_hooks


# Small helpers -------------------------------------------------------------------------------------------------------


def _Fail(msg: str, *args: object, **kwargs: bool) -> NoReturn:
    """Log an error (`exc`: with traceback; `log` false: not at all) and raise RPCFail."""
    text = msg % args if args else msg
    if kwargs.get("log", True):
        log.error("%s", text, exc_info=kwargs.get("exc", False))
    raise RPCFail(text)


def _GetConfig() -> Ssconf:
    """The reader of the cluster's static data."""
    return _node().ssconf


@_public
def _Decompress(data: tuple[int, str]) -> bytes:
    """Decode uploaded content: a pair of an encoding (0 plain, 1 compressed) and a text."""
    return uploads.decode(data)


def _BuildUploadFileList() -> frozenset[str]:
    """The paths UploadFile may write."""
    return frozenset(str(path) for path in uploads.allowed(_node().paths))


# Job queue -----------------------------------------------------------------------------------------------------------


@_public
def JobQueuePurge() -> None:
    """Remove all job files and archived jobs."""
    return job_queue.purge(_node())


@_public
def JobQueueUpdate(file_name: str, content: tuple[int, str]) -> None:
    """Write a file of the job queue."""
    return job_queue.update(_node(), file_name, content)


@_public
def JobQueueRename(old: str, new: str) -> None:
    """Rename a file of the job queue."""
    return job_queue.rename(_node(), ((old, new),))[0]


# Master role ---------------------------------------------------------------------------------------------------------


@_public
def GetMasterInfo() -> tuple[str, str, str, int, str]:
    """Network device, address, node name, address family and netmask of the master."""
    return forms.master_info(_node().ssconf)


def RunLocalHooks(
    hook_opcode: str, hooks_path: str, env_builder_fn: Callable[P, Mapping[str, str]]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to run between this node's own hooks; `env_builder_fn` gets its arguments."""
    return _LocalHooks(hook_opcode, hooks_path, env_builder_fn).decorate


@_public
def ActivateMasterIp(master_params: Form, use_external_mip_script: bool) -> None:
    """Give this node the master's address."""
    return master_address.activate(_node(), forms.master_parameters(master_params), use_external_mip_script)


@_public
def StartMasterDaemons(no_voting: bool) -> None:
    """Start the daemons of a master."""
    return ensure_daemon.start_master(_node(), no_voting)


@_public
def DeactivateMasterIp(master_params: Form, use_external_mip_script: bool) -> None:
    """Take the master's address from this node."""
    return master_address.deactivate(_node(), forms.master_parameters(master_params), use_external_mip_script)


@_public
def StopMasterDaemons() -> None:
    """Stop the daemons of a master."""
    return ensure_daemon.stop_master(_node())


@_public
def ChangeMasterNetmask(old_netmask: int, netmask: int, master_ip: str, master_netdev: str) -> None:
    """Change the prefix length of the master's address."""
    return master_address.change_netmask(_node(), old_netmask, netmask, master_ip, master_netdev)


@_public
def EtcHostsModify(mode: str, host: str, ip: str | None) -> None:
    """Add a host to /etc/hosts, or remove it."""
    etc_hosts.modify(_node(), forms.hosts_mode(mode), host, ip)


@_public
def DemoteFromMC() -> None:
    """Give up the copy of the cluster's configuration."""
    return membership.demote_from_candidate(_node())


# The node ------------------------------------------------------------------------------------------------------------


@_public
def _GetHvInfo(name: str) -> dict[str, object]:
    """What a hypervisor says of the node."""
    return forms.node_facts(_node().hypervisors.get(name).node_facts())


def _GetNamedNodeInfo(names: Iterable[str] | None, fn: Callable[[str], R]) -> list[R] | None:
    """`fn` of each name; None for None."""
    return None if names is None else [fn(name) for name in names]


@_public
def GetNodeInfo(
    vg_names: Iterable[str] | None, hv_names: Iterable[str] | None, excl_stor: bool
) -> tuple[str, list[dict[str, object]] | None, list[dict[str, object]] | None]:
    """Boot identifier, space of volume groups, memory and processors by hypervisor."""
    return forms.node_info(node_info.get(_node(), *forms.node_questions(vg_names, hv_names, excl_stor)))


@_public
def _GetVgInfo(name: str, excl_stor: bool) -> dict[str, object]:
    """Space of a volume group in MiB; None for figures that cannot be told."""
    return forms.only_volume_group(node_info.get(_node(), *forms.node_questions([name], None, excl_stor)))


@_public
def GetVolumeList(vg_names: Iterable[str] | None) -> dict[str, tuple[str, bool, bool]]:
    """(size in MiB as text, inactive, in use) of the logical volumes of some groups, or of all when none is named."""
    return volumes.list_volumes(_node(), None if vg_names is None else list(vg_names))


@_public
def ListVolumeGroups() -> dict[str, int]:
    """Size in MiB of each volume group."""
    return volumes.list_groups(_node())


@_public
def NodeVolumes() -> list[dict[str, str]]:
    """Name, size in MiB as text, device and group of every segment of a logical volume."""
    return volumes.list_node_volumes(_node())


@_public
def _CheckExclusivePvs(pvi_list: list[Form]) -> list[tuple[str, list[str]]]:
    """(name, logical volumes) of the physical volumes with more than one of them."""
    return exclusive.shared_volumes(forms.physical_volumes(pvi_list))


@_public
def VerifyNode(what: Mapping[str, object], cluster_name: str) -> dict[str, object]:
    """Answer the questions of a cluster verification, by their keys."""
    return forms.verify_answer(
        verify.verify(
            _node(),
            forms.verify_request(what, _node().hostname),
            cluster_name,
            forms.no_parameters(_node().hypervisors.kinds()),
        )
    )


@_public
def BridgesExist(bridges_list: list[str]) -> None:
    """Fail, naming them, when bridges are missing."""
    return bridges.check(_node(), bridges_list)


@_public
def PowercycleNode(hypervisor_type: str) -> str:
    """Restart the node in five seconds; return a text saying so."""
    return powercycle.powercycle(_node(), hypervisor_type)


@_public
def UploadFile(
    file_name: str,
    data: tuple[int, str],
    mode: int | None,
    uid: str,
    gid: str,
    atime: float | None,
    mtime: float | None,
) -> None:
    """Write one of the files that may be uploaded; `uid` and `gid` are names."""
    return uploads.upload(_node(), file_name, data, mode or 0, user=uid, group=gid, atime=atime, mtime=mtime)


@_public
def SetWatcherPause(until: float | None, _filename: None = None) -> None:
    """Pause the watcher until a time, or not at all."""
    return watcher.set_pause(_node_with_defaults(_filename=_filename), until)


@_public
def ListExports() -> list[str]:
    """Names of the exports on this node."""
    return exports.names(_node())


@_public
def ValidateHVParams(hvname: str, hvparams: Parameters) -> None:
    """Judge filled hypervisor parameters by what this node has."""
    return instances.validate_parameters(_node(), hvname, hvparams)


# Guests --------------------------------------------------------------------------------------------------------------


@_public
def GetInstanceList(hypervisor_list: list[str]) -> list[str]:
    """Names of the running guests."""
    return instance_queries.list_instances(_node(), hypervisor_list, forms.no_parameters(hypervisor_list))


@_public
def GetInstanceInfo(instance: str, hname: str) -> dict[str, int | float | str]:
    """Memory, processors, state and CPU time of a running guest; empty for one that is down."""
    return forms.info(instance_queries.info(_node(), instance, hname, {}))


@_public
def GetInstanceMigratable(instance: Form) -> None:
    """Fail when the guest is not running."""
    return migration.check_migratable(_node(), forms.instance(instance))


@_public
def GetAllInstancesInfo(hypervisor_list: list[str]) -> dict[str, dict[str, int | float | str]]:
    """The same as GetInstanceInfo of every running guest, by name."""
    return forms.all_info(instance_queries.all_info(_node(), hypervisor_list, forms.no_parameters(hypervisor_list)))


@_public
def StartInstance(instance: Form, startup_paused: bool) -> None:
    """Start a guest; one that runs is left alone."""
    return instances.start(_node(), forms.instance(instance), startup_paused=startup_paused)


@_public
def InstanceShutdown(instance: Form, timeout: float) -> None:
    """Stop a guest: politely for `timeout` seconds, then by force."""
    return instances.shutdown(_node(), forms.instance(instance), timeout_s=timeout)


@_public
def InstanceReboot(instance: Form, reboot_type: str, shutdown_timeout: float) -> None:
    """Restart a running guest, `soft` or `hard`."""
    return instances.reboot(
        _node(), forms.instance(instance), forms.reboot_type(reboot_type), shutdown_timeout_s=shutdown_timeout
    )


@_public
def InstanceBalloonMemory(instance: Form, memory: int) -> None:
    """Set the memory of a running guest, in MiB."""
    return instances.balloon(_node(), forms.instance(instance), memory)


@_public
def MigrationInfo(instance: Form) -> str:
    """Text for AcceptInstance on the target node."""
    return migration.migration_info(_node(), forms.instance(instance))


@_public
def AcceptInstance(instance: Form, info: str, target: str) -> None:
    """Get ready to receive a guest on address `target` of this node."""
    return migration.accept(_node(), forms.instance(instance), info, target)


@_public
def FinalizeMigrationDst(instance: Form, info: str, success: bool) -> None:
    """Keep the received guest, or end what came of it."""
    return migration.finalize_target(_node(), forms.instance(instance), info, success=success)


@_public
def MigrateInstance(instance: Form, target: str, live: bool) -> None:
    """Begin to send a guest to address `target`."""
    return migration.migrate(_node(), forms.instance(instance), target, live=live)


@_public
def FinalizeMigrationSource(instance: Form, success: bool, live: bool) -> None:
    """End the sent guest here, or let it go on."""
    return migration.finalize_source(_node(), forms.instance(instance), success=success, live=live)


@_public
def GetMigrationStatus(instance: Form) -> MigrationStatus:
    """How far a migration is; amounts are bytes."""
    return migration.migration_status(_node(), forms.instance(instance))


# Links to disks ------------------------------------------------------------------------------------------------------


@_public
def _GetBlockDevSymlinkPath(instance_name: str, idx: int, _dir: str | None = None) -> str:
    """Where the link to a guest's disk is."""
    return str(Path(_dir or _node().paths.disk_links_dir, component(f"{instance_name}{DISK_SEPARATOR}{idx}")))


@_public
def _SymlinkBlockDev(instance_name: str, device_path: str, idx: int) -> str:
    """Link a guest's disk to its device; return the link's path."""
    return str(disk_links.make(_node(), instance_name, idx, Path(device_path)))


@_public
def _RemoveBlockDevLinks(instance_name: str, disks: list[Form]) -> None:
    """Remove the links to a guest's disks."""
    return disk_links.remove(_node(), instance_name, len(disks))


@_public
def _GatherAndLinkBlockDevs(instance: Form) -> list[tuple[Disk, str | None]]:
    """Open and link the disks of a guest; return (disk, link) pairs."""
    return forms.gathered(disk_links.gather_and_link(_node(), forms.instance(instance)))


# Disks ---------------------------------------------------------------------------------------------------------------


@_public
def BlockdevCreate(
    disk: Form, size: int, owner: str, on_primary: bool, info: str, excl_stor: bool
) -> tuple[str | int | None, ...]:
    """Make a disk; return its identity."""
    return blockdev.create(_node(), forms.disk(disk), size, owner, on_primary, info, exclusive_storage=excl_stor)


@_public
def _WipeDevice(path: str, offset: int, size: int) -> None:
    """Write zeros over a range of a device; both in MiB."""
    return blockdev_data.write_zeros(_node(), Path(path), offset, size)


@_public
def BlockdevWipe(disk: Form, offset: int, size: int) -> None:
    """Make a range of a disk read as zero; both in MiB."""
    return blockdev_data.wipe(_node(), forms.disk(disk), offset, size)


@_public
def BlockdevPauseResumeSync(disks: list[Form], pause: bool) -> list[tuple[bool, str | None]]:
    """Stop or go on synchronising; one (worked, message) a disk."""
    return blockdev.pause_resume_sync(_node(), forms.disks(disks), pause)


@_public
def BlockdevRemove(disk: Form) -> None:
    """Destroy a disk; one that is missing is fine."""
    return blockdev.remove(_node(), forms.disk(disk))


@_public
def _RecursiveAssembleBD(disk: Form, owner: str, as_primary: bool) -> BlockDevice | bool:
    """Make a disk active; return its driver object, or True when nothing had to be done."""
    return blockdev.activate(_node(), forms.disk(disk), owner, as_primary) or True


@_public
def BlockdevAssemble(disk: Form, owner: str, as_primary: bool, idx: int) -> str | bool | None:
    """Make a disk active; return its path, or True when nothing had to be done."""
    return forms.assembled(blockdev.assemble(_node(), forms.disk(disk), owner, as_primary, idx))


@_public
def BlockdevShutdown(disk: Form) -> None:
    """Make a disk inactive; one that is missing is fine."""
    return blockdev.shutdown(_node(), forms.disk(disk))


@_public
def BlockdevAddchildren(parent_cdev: Form, new_cdevs: list[Form]) -> None:
    """Give a mirror without local copy one on two disks: data, then metadata."""
    return mirrors.add_children(_node(), forms.disk(parent_cdev), forms.disks(new_cdevs))


@_public
def BlockdevRemovechildren(parent_cdev: Form, new_cdevs: list[Form]) -> None:
    """Let a mirror go on without its local copy, which is on these disks."""
    return mirrors.remove_children(_node(), forms.disk(parent_cdev), forms.disks(new_cdevs))


@_public
def BlockdevGetmirrorstatus(disks: list[Form]) -> list[DeviceStatus]:
    """State of each disk with its children's; fails at the first missing one."""
    return [forms.device_status(one) for one in blockdev.mirror_status(_node(), forms.disks(disks))]


@_public
def BlockdevGetmirrorstatusMulti(disks: list[Form]) -> list[tuple[bool, DeviceStatus | str]]:
    """State of each disk with its children's, as (True, state) or (False, message)."""
    return [forms.device_answer(*one) for one in blockdev.mirror_status_multi(_node(), forms.disks(disks))]


@_public
def BlockdevFind(disk: Form) -> DeviceStatus | None:
    """State of a disk; None when it is not there."""
    return forms.found_device(blockdev.find(_node(), forms.disk(disk)))


@_public
def BlockdevGetsize(disks: list[Form]) -> list[int | None]:
    """Size of each disk in bytes; None for one that is not there."""
    return [None if one is None else one[0] for one in blockdev_data.dimensions(_node(), forms.disks(disks))]


@_public
def BlockdevExport(disk: Form, dest_node: str, dest_path: str, cluster_name: str) -> None:
    """Copy a disk's content over what lies at a path of another node."""
    return blockdev_data.export(_node(), forms.disk(disk), dest_node, dest_path, cluster_name)


@_public
def DiagnoseExtStorage(top_dirs: Iterable[str] | None = None) -> list[tuple[str, str, bool, str, list[list[str]]]]:
    """(name, path, valid, message, parameters) of every storage provider; a parameter is [name, text] or [name]."""
    return [forms.provider(one) for one in external_storage.diagnose(_node_searching(ext=top_dirs))]


@_public
def BlockdevGrow(disk: Form, amount: int, dryrun: bool, backingstore: bool) -> None:
    """Make one layer of a disk larger, by MiB."""
    return blockdev.grow(
        _node(), forms.disk(disk), amount, dry_run=dryrun, backing_store=backingstore, exclusive_storage=False
    )


@_public
def BlockdevSnapshot(disk: Form) -> tuple[str | int | None, ...]:
    """Freeze a disk in time; return the snapshot's identity."""
    return blockdev.snapshot(_node(), forms.disk(disk), None, None)


@_public
def BlockdevSetInfo(disk: Form, info: str) -> None:
    """Note with a disk whose it is."""
    return blockdev.set_info(_node(), forms.disk(disk), info)


@_public
def BlockdevRename(devlist: list[tuple[Form, ...]]) -> None:
    """Give disks new identities."""
    return blockdev.rename(_node(), forms.renames(devlist))


@_public
def BlockdevClose(instance_name: str, disks: list[Form]) -> None:
    """Close disks and remove the links of the guest, if one is named."""
    return blockdev.close(_node(), instance_name, forms.disks(disks))


@_public
def GetBlockDevSizes(devices: list[str]) -> dict[str, int]:
    """Size in MiB of those paths that are block devices below /dev."""
    return blockdev_data.sizes(_node(), devices)


@_public
def _RecursiveFindBD(disk: Form) -> BlockDevice | None:
    """The driver object of a disk with its children's; None when it is not there."""
    return tree.find(_node().storage, forms.disk(disk))


@_public
def _OpenRealBD(disk: Form) -> BlockDevice:
    """The driver object of a disk, opened."""
    return _opened(tree.get(_node().storage, forms.disk(disk)))


# Mirrors -------------------------------------------------------------------------------------------------------------


@_public
def _FindDisks(nodes_ip: Mapping[str, str], disks: list[Form]) -> list[BlockDevice]:
    """The driver objects of disks; `nodes_ip` has the addresses of the nodes by name."""
    return blockdev.get_all(_node(), forms.mirrors(disks, nodes_ip, _node().hostname))


@_public
def DrbdDisconnectNet(nodes_ip: Mapping[str, str], disks: list[Form]) -> None:
    """Let mirrors stop talking to the other node."""
    return mirrors.disconnect_network(_node(), forms.mirrors(disks, nodes_ip, _node().hostname))


@_public
def DrbdAttachNet(nodes_ip: Mapping[str, str], disks: list[Form], instance_name: str, multimaster: bool) -> None:
    """Let mirrors talk to the other node again; with `multimaster` open and link them too."""
    return _attach_network(forms.mirrors(disks, nodes_ip, _node().hostname), instance_name, both_primary=multimaster)


@_public
def DrbdWaitSync(nodes_ip: Mapping[str, str], disks: list[Form]) -> tuple[bool, float]:
    """Whether all is copied, and the percentage of the disk that is behind most; it does not wait for the copying."""
    return mirrors.wait_sync(_node(), forms.mirrors(disks, nodes_ip, _node().hostname))


@_public
def GetDrbdUsermodeHelper() -> str:
    """Program that the kernel calls when something happens to a mirror."""
    return mirrors.usermode_helper(_node())


# Directories of file disks -------------------------------------------------------------------------------------------


@_public
def _TransformFileStorageDir(fs_dir: str) -> str:
    """The path, if file disks may lie there."""
    return str(allowed_paths.check(_node().paths, fs_dir, itself=True)[0])


@_public
def CreateFileStorageDir(file_storage_dir: str) -> None:
    """Make a directory for file disks."""
    return file_storage.create_directory(_node(), file_storage_dir)


@_public
def RemoveFileStorageDir(file_storage_dir: str) -> None:
    """Remove an empty directory for file disks."""
    return file_storage.remove_directory(_node(), file_storage_dir)


@_public
def RenameFileStorageDir(old_file_storage_dir: str, new_file_storage_dir: str) -> None:
    """Rename a directory for file disks."""
    return file_storage.rename_directory(_node(), old_file_storage_dir, new_file_storage_dir)


# Operating systems ---------------------------------------------------------------------------------------------------


@_public
def InstanceOsAdd(instance: Form, reinstall: bool, debug: int) -> None:
    """Run a definition's create script."""
    return os_scripts.create(_node(), forms.instance(instance), reinstall=reinstall, debug=debug)


@_public
def RunRenameInstance(instance: Form, old_name: str, debug: int) -> None:
    """Run a definition's rename script."""
    return os_scripts.rename(_node(), forms.instance(instance), old_name, debug=debug)


@_public
def DiagnoseOS(top_dirs: Iterable[str] | None = None) -> list[tuple[object, ...]]:
    """(name, path, valid, message, variants, parameters, API versions) of every definition."""
    return [forms.diagnosis(one) for one in os_definitions.diagnose(_node_searching(os=top_dirs))]


def _TryOSFromDisk(name: str, base_dir: str | None = None) -> tuple[bool, OperatingSystem | str]:
    """(True, definition) or (False, message)."""
    return forms.attempt(lambda: os_definitions.read(_node_searching(os=base_dir), name))


@_public
def OSFromDisk(name: str, base_dir: str | None = None) -> OperatingSystem:
    """A definition; a variant in the name does not matter."""
    return os_definitions.read(_node_searching(os=base_dir), name)


@_public
def OSCoreEnv(os_name: str, inst_os: Form, os_params: Mapping[str, str], debug: int = 0) -> dict[str, str]:
    """Variables every script gets."""
    return os_environment.core(forms.operating_system(inst_os), os_name, os_params, debug)


@_public
def OSEnvironment(instance: Form, inst_os: Form, debug: int = 0) -> dict[str, str]:
    """Variables scripts that work on a guest get; its disks are opened."""
    return os_environment.of_instance(_node(), forms.instance(instance), forms.operating_system(inst_os), debug)


@_public
def _CheckOSPList(os_obj: Form, parameters: Iterable[str]) -> None:
    """Fail, naming them, when the definition does not have the parameters."""
    return os_definitions.check_parameters(forms.operating_system(os_obj), set(parameters))


@_public
def ValidateOS(required: bool, osname: str, checks: Iterable[str], osparams: dict[str, str]) -> bool:
    """Judge parameters; false when the definition is missing but not `required`."""
    return os_scripts.validate(_node(), required, osname, tuple(checks), osparams)


# Classes -------------------------------------------------------------------------------------------------------------


class HooksRunner:
    """Runs hook scripts."""

    def __init__(self, hooks_base_dir: str | None = None) -> None:
        """Remember where the scripts are; None means the node's own directory."""
        self._BASE_DIR = hooks_base_dir

    @_public
    def RunHooks(self, hpath: str, phase: str, env: dict[str, str]) -> list[hooks.Outcome]:
        """(script, 0 skipped or 1 failed or 2 succeeded, output) of each script of a phase."""
        return hooks.run(_node_with_defaults(hooks_base_dir=self._BASE_DIR), hpath, forms.hook_phase(phase), env)


class IAllocatorRunner:
    """Runs allocators."""

    @staticmethod
    @_public
    def Run(name: str, idata: str) -> str:
        """What the allocator prints for a question."""
        return allocator.run(_node(), name, idata, {})


class DevCacheManager:
    """Keeps one note a device saying who uses it."""

    @classmethod
    def _ConvertPath(cls, dev_path: str) -> str:
        """File of a device's note."""
        return str(device_cache.note_path(_node(), Path(dev_path)))

    @classmethod
    @_public
    def UpdateCache(cls, dev_path: str | None, owner: str, on_primary: bool, iv_name: str | None) -> None:
        """Note who uses a device."""
        return device_cache.update(_node(), forms.path(dev_path), owner=owner, on_primary=on_primary, iv_name=iv_name)

    @classmethod
    @_public
    def RemoveCache(cls, dev_path: str | None) -> None:
        """Drop the note of a device."""
        return device_cache.remove(_node(), forms.path(dev_path))
