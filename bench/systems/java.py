"""Java rivals: compiled here from source with Eclipse's compiler, and run on the Java that the local stack runs on."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from headwater.local.java import find_java, jars, select

SOURCES = Path(__file__).resolve().parent.parent / "rivals" / "java"
COMPILE_SECONDS = 120


def compiled(target: Path, class_path: Sequence[Path], sources: Path = SOURCES) -> Path:
    """The folder with the classes of all source files: a rival's workloads share their reading and writing."""
    target.mkdir(parents=True, exist_ok=True)
    (compiler,) = (jar for jar in jars("compiler") if jar.name.startswith("ecj-"))
    done = subprocess.run(
        [
            str(find_java().executable),
            *["-jar", str(compiler), "-nowarn", "-source", "17", "-target", "17"],
            *["-cp", joined(class_path), "-d", str(target), *map(str, sorted(sources.glob("*.java")))],
        ],
        capture_output=True,
        text=True,
        timeout=COMPILE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the rivals do not compile:\n{done.stderr}")
    return target


def joined(class_path: Sequence[Path]) -> str:
    """Paths as Java wants them."""
    return ":".join(str(path) for path in class_path)


def locked_version(group: str, artifact: str) -> str:
    """The version of an artifact in the committed lock."""
    (found,) = (jar.coordinate for jar in select(group) if jar.coordinate.split(":")[1] == artifact)
    return found.rpartition(":")[2]


def write_properties(path: Path, properties: Mapping[str, object]) -> Path:
    """A properties file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    return path


def quiet_flags(version: int) -> list[str]:
    """What ends the warnings of a new Java about old libraries, and that an old Java would not know."""
    return ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"] if version >= 24 else []
