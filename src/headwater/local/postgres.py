"""PostgreSQL on one machine: the wheel's binaries, or those on the PATH, over TCP, with logical replication."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from headwater.errors import CallerFault, Fault
from headwater.local import processes
from headwater.local.postgres_home import Home, home_for, prepare
from headwater.local.processes import Process
from headwater.local.stack import HOST, LocalStack
from headwater.timeline.clock import Clock, SystemClock

NAME = "postgres"
_BUILTIN_LOCALE_SINCE = 17
_LEFTOVERS_MICROSECONDS = 10_000_000  # the children of a killed server were seen to need 1.5 s
# A small memory; a walsender whose client is gone is given up after ten seconds; slots for many products.
_SETTINGS = {
    "wal_level": "logical",
    "shared_buffers": "32MB",
    "wal_sender_timeout": "10s",
    "max_wal_senders": "32",
    "max_replication_slots": "32",
    "log_checkpoints": "off",
    "track_commit_timestamp": "on",  # `relay repair` then fills a gap in the order of commits
    "timezone": "UTC",
}
# Fast first; immediate where a walsender holds it up: the next start recovers, and nothing committed is lost.
_ASKS = ((signal.SIGINT, 6.0), (signal.SIGQUIT, 5.0))


def start(stack: LocalStack, *, clock: Clock | None = None) -> Process:
    """Make the cluster the first time, and start the server; does not wait for it."""
    home = home_for(stack)
    prepare(stack, home)
    if not (home.folder / "PG_VERSION").is_file():
        _initialise(stack, home)
    _clear_after_kill(home.folder, clock or SystemClock())
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    argv = ["postgres", "-D", str(home.folder), "-h", HOST, "-p", str(stack.ports.postgres), "-k", "", *settings]
    return processes.start_exact(
        stack.data_folder, NAME, home.command(argv), _environment(home), identity=home.identity
    )


def stop(stack: LocalStack) -> bool:
    """Stop the server; False where it did not run. Replication connections are ended first: they would hold it up."""
    process = processes.find(stack.data_folder, NAME)
    if process is not None and process.alive:
        _end_replication(stack)
    return processes.stop_process(stack.data_folder, NAME, asks=_ASKS)


def answers(stack: LocalStack) -> bool:
    """Whether the server lets us in."""
    import psycopg

    try:
        with psycopg.connect(_address(stack), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def create_databases(stack: LocalStack, names: Iterable[str]) -> list[str]:
    """Create those databases that are not there; returns which."""
    import psycopg
    from psycopg import sql

    made: list[str] = []
    with psycopg.connect(_address(stack), autocommit=True, connect_timeout=10) as connection:
        there = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for name in names:
            if name not in there:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                made.append(name)
    return made


def _clear_after_kill(folder: Path, clock: Clock) -> None:
    """Let the children of a killed server go, and drop its lock file, which a zombie's pid would keep valid."""
    lock = folder / "postmaster.pid"
    if not lock.is_file() or processes.start_mark(int(lock.read_text().split()[0])) is not None:
        return
    until = clock.monotonic() + _LEFTOVERS_MICROSECONDS
    while processes.working_in(folder) and clock.monotonic() < until:
        clock.sleep(50_000)
    # While children are left the lock file stays: by it the new server finds them, and refuses to share their memory.
    if not processes.working_in(folder):
        lock.unlink()


def _address(stack: LocalStack) -> str:
    return stack.postgres_address(password=stack.password_file.read_text().strip())


def _end_replication(stack: LocalStack) -> None:
    import psycopg

    try:
        with psycopg.connect(_address(stack), autocommit=True, connect_timeout=2) as connection:
            connection.execute("SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_replication")
    except (psycopg.Error, OSError):
        return  # it does not answer, or the password is gone: the signals that follow end it all the same


def _initialise(stack: LocalStack, home: Home) -> None:
    password = _password(stack)
    handed = home.folder.parent / ".initdb-password"
    handed.touch(mode=0o600)
    handed.write_text(password)
    if home.identity.user is not None:
        os.chown(home.folder, home.identity.user, home.identity.group or -1)
        os.chown(handed, home.identity.user, home.identity.group or -1)
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if home.version >= _BUILTIN_LOCALE_SINCE else []
    made = ["initdb", "-D", str(home.folder), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={handed}"]
    made += ["-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions", *locale]
    identity = home.identity
    try:
        done = subprocess.run(
            home.command(made),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=_environment(home),
            cwd=home.folder,
            user=identity.user,
            group=identity.group,
            extra_groups=[] if identity.user is not None else None,
        )
    finally:
        handed.unlink(missing_ok=True)
    if done.returncode != 0:
        shutil.rmtree(home.folder, ignore_errors=True)
        raise _failed(stack, (done.stderr or done.stdout).strip()[-2000:])


def _failed(stack: LocalStack, said: str) -> CallerFault | Fault:
    if "No space left" in said:
        from headwater.local.java import disk_full

        return disk_full(stack.data_folder)
    return Fault(
        "PostgreSQL's data folder cannot be made",
        code="HW-L041",
        detail=said,
        hint="headwater doctor; or choose another folder: HEADWATER_DATA=...",
    )


def _password(stack: LocalStack) -> str:
    file = stack.password_file
    if not file.is_file():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24) + "\n")
    return file.read_text().strip()


def _environment(home: Home) -> dict[str, str]:
    # An environment of its own: the caller's PG* variables would change what the server and initdb do.
    return {
        "PATH": f"{home.binaries}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(home.folder),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
