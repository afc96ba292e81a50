"""Flink on one machine: its jars from the wheel of the extra `flink`, connectors by the lock, our functions compiled.

A job runs in a cluster within one Java process, which is a child of the command that started it and ends with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headwater.errors import CallerFault, Fault
from headwater.local.java import find_java, jars
from headwater.local.java_log import FILE_APPENDER
from headwater.local.stack import HOST, Phases, cache_folder, quiet

SOURCES = Path(__file__).parent / "flink_java"
LIBRARY_VARIABLE = "HEADWATER_FLINK"  # a folder of Flink's jars in place of the wheel's
SERVICES = tuple(
    f"META-INF/services/org.apache.flink.{name}"
    for name in ("client.deployment.ClusterClientFactory", "core.execution.PipelineExecutorFactory")
)
_OPENED = ("java.lang", "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.nio", "java.net")
_QUIET_SINCE = 24  # an older Java refuses the flags that end a newer one's warnings
_COMPILE_SECONDS = 120
_POLL_SECONDS = 0.2
_STOP_SECONDS = 10
HEAP_MB = 640
_LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.file.ref=file
logger.metrics.name=org.apache.flink.metrics.MetricGroup
logger.metrics.level=OFF
"""


def library() -> Path:
    """The folder with Flink's own jars; raises `CallerFault` HW-P249 where there is none."""
    chosen = os.environ.get(LIBRARY_VARIABLE, "")
    spec = None if chosen else importlib.util.find_spec("pyflink")
    places = (
        [Path(chosen)] if chosen else [Path(one) / "lib" for one in (spec and spec.submodule_search_locations) or ()]
    )
    for place in places:
        if any(place.glob("flink-dist-*.jar")):
            return place
    raise CallerFault(
        "the flink runner needs Flink, which is not installed",
        code="HW-P249",
        detail=f"{LIBRARY_VARIABLE} names {chosen}, which has no flink-dist" if chosen else "the extra flink brings it",
        hint="pip install 'headwater[flink]' (a wheel of 329 MB)",
    )


def class_path(*, phases: Phases = quiet) -> list[Path]:
    """All that a job needs, ready for this Java: made once, and kept in the cache."""
    shipped = library()
    (dist,) = shipped.glob("flink-dist-*.jar")
    connectors = jars("flink", phases=phases)
    others = [jar for jar in sorted(shipped.glob("*.jar")) if jar != dist]
    made = cache_folder() / "flink" / _fingerprint(dist)
    if not made.is_dir():
        with phases("Flink: its jar for this Java, our functions"):
            made.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(dir=made.parent))
            without_clusters(dist, draft / "flink-dist.jar")
            compile_java(draft / "classes", [dist, *others], SOURCES)
            if made.is_dir():  # another process was quicker
                shutil.rmtree(draft)
            else:
                draft.rename(made)
    return [made / "classes", made / "flink-dist.jar", *others, *connectors]


def export_jars(folder: Path, *, phases: Phases = quiet) -> list[Path]:
    """What a cluster elsewhere needs in its `lib` folder beside Flink itself: the connectors, and our functions."""
    classes = class_path(phases=phases)[0]
    folder.mkdir(parents=True, exist_ok=True)
    ours = folder / "headwater-flink.jar"
    with zipfile.ZipFile(ours, "w") as jar:
        for file in sorted(classes.rglob("*.class")):
            jar.writestr(zipfile.ZipInfo(file.relative_to(classes).as_posix()), file.read_bytes())  # no time in it
    wanted = [one for one in jars("flink") if one.name.startswith("flink-")]
    return [ours, *(Path(shutil.copy(one, folder)) for one in wanted)]


def without_clusters(shipped: Path, target: Path) -> None:
    """A copy of Flink's own jar whose lists of services lack those for YARN and Kubernetes.

    A newer Java does not pass over a service whose classes are missing, as Java 17 does.
    """
    with zipfile.ZipFile(shipped) as jar:
        kept = {name: [line for line in jar.read(name).decode().splitlines() if _local(line)] for name in SERVICES}
    shutil.copyfile(shipped, target)
    with zipfile.ZipFile(target, "a") as jar:
        for name, lines in kept.items():
            jar.filelist.remove(jar.NameToInfo.pop(name))  # out of the directory: its bytes stay, which is quick
            jar.writestr(name, "\n".join(lines))


def compile_java(target: Path, libraries: Sequence[Path], sources: Path) -> None:
    """Compile the sources of a folder with the locked compiler, for Java 17 and newer."""
    target.mkdir(parents=True, exist_ok=True)
    (compiler,) = (jar for jar in jars("compiler") if jar.name.startswith("ecj-"))
    files = map(str, sorted(sources.glob("*.java")))
    argv = [find_java().executable, "-jar", compiler, "-nowarn", "-source", "17", "-target", "17"]
    done = subprocess.run(
        [*map(str, argv), "-cp", ":".join(map(str, libraries)), "-d", str(target), *files],
        capture_output=True,
        text=True,
        timeout=_COMPILE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Fault("Headwater's functions for Flink do not compile", code="HW-P248", detail=done.stderr[-2_000:])


def java_flags(version: int, *, heap_mb: int = HEAP_MB) -> list[str]:
    """The flags that Flink wants on a Java of this version."""
    quiet_ones = ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"]
    opened = [f"--add-opens=java.base/{one}=ALL-UNNAMED" for one in _OPENED]
    return [f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", *(quiet_ones if version >= _QUIET_SINCE else []), *opened]


def run_job(
    statements: Sequence[str],
    settings: Mapping[str, object],
    *,
    folder: Path,
    log: Path,
    phases: Phases = quiet,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Run a job to its end; False where it was told to stop before. Raises `Fault` HW-P247 where it fails.

    `folder` is emptied first and holds what the job keeps while it runs; `log` gets what Flink says.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    own = {"io.tmp.dirs": folder, "execution.checkpointing.dir": f"file://{folder}/checkpoints", **settings}
    argv = [*java_command("Job", folder, log, phases=phases), *written(folder, own, statements)]
    with log.open("ab") as output:
        # Its input stays open as long as this process lives: the job ends with it, however it ends.
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True)
    try:
        while child.poll() is None:
            if stopped():
                return False
            try:
                child.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        _end(child)
        shutil.rmtree(folder, ignore_errors=True)
    if child.returncode:
        raise Fault(
            "the Flink job failed, and nothing of it was published",
            code="HW-P247",
            detail=f"its log says why: {log}; it may hold values of records",
            hint="mend what the log names, and run it again: it says what was not said before",
        )
    return True


def java_command(main: str, folder: Path, log: Path, *, phases: Phases = quiet) -> list[str]:
    """The command of a process of ours with Flink in it, which says to `log` what it has to say."""
    java, jars_of = find_java(), class_path(phases=phases)
    logging = folder / "log4j2.properties"
    logging.write_text((_LOGGING + FILE_APPENDER).format(file=log))
    flags = [*java_flags(java.version), f"-Dlog4j2.configurationFile={logging}", "-cp", ":".join(map(str, jars_of))]
    return [str(java.executable), *flags, f"org.headwater.flink.{main}"]


def written(folder: Path, settings: Mapping[str, object], statements: Sequence[str]) -> list[str]:
    """The files of settings and of statements that such a process is given."""
    files = folder / "job.properties", folder / "job.sql"
    files[0].write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    files[1].touch(mode=0o600)  # there may be passwords in it
    files[1].chmod(0o600)
    files[1].write_text("\0".join(statements))
    return list(map(str, files))


def local_settings() -> dict[str, object]:
    """A cluster of one slot within a process: bounded memory, everything on loopback."""
    return {
        "execution.target": "local",
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.memory.managed.size": "128m",
        "state.backend.type": "rocksdb",
        "rest.port": 0,
        "rest.address": HOST,
        "rest.bind-address": HOST,
    }


def job_settings() -> dict[str, object]:
    """What a job asks of any cluster: one task, which alone writes every partition; no checkpoint, one transaction."""
    return {"parallelism.default": 1, "pipeline.object-reuse": "true", "table.local-time-zone": "UTC"}


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _fingerprint(dist: Path) -> str:
    """What the cached parts were made of; a changed one makes them anew."""
    stat = dist.stat()
    made = hashlib.sha256(f"{dist.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    for file in sorted(SOURCES.glob("*.java")):
        made.update(file.read_bytes())
    return made.hexdigest()[:16]


def _local(line: str) -> bool:
    return ".yarn." not in line and ".kubernetes." not in line
