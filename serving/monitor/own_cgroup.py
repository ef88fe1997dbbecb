"""Where one's own control groups are: mounts and memberships as the kernel tells them, followed up to the top.

Belongs here: the way to the directories, for either version, inside a container and outside. Does not: what is read in
them (`monitor.cgroup`). Why it is hard: a container is told its path on the machine while its mounts may start at its own
group, and nothing says outright whether what one sees is the machine's tree.

Sources: proc_pid_mountinfo(5), cgroups(7), Linux `Documentation/admin-guide/cgroup-v1/cgroups.rst` and
`Documentation/admin-guide/cgroup-v2.rst`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from serving.monitor.cgroup import Cgroup

_MARKERS: Final = (".dockerenv", "run/.containerenv", "run/systemd/container")
"""Files that Docker, Podman and systemd leave inside a container."""


def find_cgroup(root: Path = Path("/")) -> Cgroup | None:
    """The control groups of this process, or None where the kernel or the mounts show none.

    Args:
        root: The file system's root; a test hands over a tree of its own.
    """
    try:
        mounts = list(_mounts((root / "proc/self/mountinfo").read_text()))
        memberships = list(_memberships((root / "proc/self/cgroup").read_text()))
    except OSError:
        return None
    v1 = {
        controller: chain
        for controller in ("cpu", "cpuacct", "memory", "blkio")
        if (chain := _chain(root, mounts, memberships, controller))
    }
    unified = _chain(root, mounts, memberships, "")
    if "cpu" in v1 or "memory" in v1:
        version: Literal[1, 2] = 1
        chains = v1
    elif unified:
        version, chains = 2, dict.fromkeys(("cpu", "cpuacct", "memory", "blkio"), unified)
    else:
        return None
    tops = {chain[-1] for controller, chain in chains.items() if controller in {"cpu", "memory"}}
    sees_machine = all(_is_machine_root(top, version) for top in tops)
    is_marked = any((root / marker).exists() for marker in _MARKERS)
    # A machine may have been built from a container's image, marker and all; then it still sits at its own root.
    is_below = all(len(chain) > 1 for controller, chain in chains.items() if controller in {"cpu", "memory"})
    return Cgroup(
        version=version,
        is_container=not sees_machine or (is_marked and is_below),
        sees_machine=sees_machine,
        chains=chains,
    )


class _Mount(NamedTuple):
    root: str
    point: str
    kind: str
    controllers: frozenset[str]


class _Membership(NamedTuple):
    controllers: frozenset[str]
    path: str


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if separator and len(fields) >= 5 and kinds and kinds[0] in {"cgroup", "cgroup2"}:
            options = frozenset(kinds[-1].split(","))
            yield _Mount(_unescaped(fields[3]), _unescaped(fields[4]), kinds[0], options)


def _unescaped(path: str) -> str:
    """A path of mountinfo, where blanks and backslashes are written in octal."""
    return path.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")


def _memberships(cgroup: str) -> Iterator[_Membership]:
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        yield _Membership(frozenset(controllers.split(",")), path)


def _chain(
    root: Path, mounts: Sequence[_Mount], memberships: Sequence[_Membership], controller: str
) -> tuple[Path, ...]:
    """Own directory for a controller (`` for version 2), then each parent up to the mount; empty if not visible."""
    kind = "cgroup" if controller else "cgroup2"
    path = next((m.path for m in memberships if controller in m.controllers), None)
    mount = next(
        (m for m in mounts if m.kind == kind and (not controller or controller in m.controllers)), None
    )
    if path is None or mount is None:
        return ()
    top = root / mount.point.lstrip("/")
    # A container on a v1 machine is told its path on the machine while the mount already starts at its own group.
    inside = path.removeprefix(mount.root.rstrip("/")) if path.startswith(mount.root) else ""
    own = top / inside.lstrip("/")
    if not own.is_dir() or not own.is_relative_to(top):
        own = top
    above = [own, *own.parents]
    return tuple(above[: above.index(top) + 1])


def _is_machine_root(top: Path, version: Literal[1, 2]) -> bool:
    """Whether a directory is the real root of its tree: version 1 has a file only there, version 2 one only elsewhere."""
    return (top / "release_agent").exists() if version == 1 else not (top / "cgroup.type").exists()
