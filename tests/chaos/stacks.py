"""The stack that chaos is made on, and PostgreSQL hurt: killed, stopped at once, set up so that its slots go back."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from headwater.local import postgres, processes
from headwater.local.launch import start_stack, stop_stack
from headwater.local.ports import free_base
from headwater.local.stack import LocalStack
from headwater.settings import LocalPorts

PORT_BASE_FIRST, PORT_BLOCKS = 19890, 300  # below those that a kernel gives to connections
ANSWERS_SECONDS = 60.0


@contextmanager
def own_stack() -> Iterator[LocalStack]:
    """A stack in a temporary folder, stopped and removed at the end. Each process begins to look for ports elsewhere:
    of two that look at once both would find the same ones free.
    """
    folder = Path(tempfile.mkdtemp(prefix="headwater-chaos-stack-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    local = LocalStack(folder, LocalPorts(free_base(PORT_BASE_FIRST + os.getpid() % PORT_BLOCKS * 10)))
    try:
        start_stack(local)
        yield local
    finally:
        stop_stack(local, purge=True)
        shutil.rmtree(folder, ignore_errors=True)


def address(stack: LocalStack, database: str = "postgres") -> str:
    """A connection string."""
    return stack.postgres_address(database, password=stack.password_file.read_text().strip())


def end_postgres(stack: LocalStack, how: signal.Signals) -> None:
    """SIGQUIT: its immediate stop, without a checkpoint; SIGKILL: the postmaster alone, its children find out."""
    process = processes.find(stack.data_folder, postgres.NAME)
    assert process is not None and process.alive
    os.kill(process.pid, how)
    deadline = time.monotonic() + ANSWERS_SECONDS
    while process.alive:
        assert time.monotonic() < deadline, "PostgreSQL does not end"
        time.sleep(0.02)


def start_postgres(stack: LocalStack) -> None:
    """Start it again, and wait until it has recovered."""
    deadline = time.monotonic() + ANSWERS_SECONDS
    postgres.start(stack)
    while not postgres.answers(stack):
        assert time.monotonic() < deadline, "PostgreSQL does not come back"
        time.sleep(0.05)


def configure(stack: LocalStack, settings: Mapping[str, str], *, restart: bool = False) -> None:
    """Set settings of the server for good; an empty value takes the setting away."""
    with psycopg.connect(address(stack), autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'" if value else f"ALTER SYSTEM RESET {name}")
        connection.execute("SELECT pg_reload_conf()")
    if restart:
        end_postgres(stack, signal.SIGINT)
        start_postgres(stack)


def checkpoint(stack: LocalStack) -> None:
    """Save everything now, the slots' positions among it."""
    with psycopg.connect(address(stack), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
