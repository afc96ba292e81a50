"""The registry in the box, as a process of the local stack."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request

from headwater.local import processes
from headwater.local.processes import Process
from headwater.local.stack import LocalStack

NAME = "registry"


def available() -> bool:
    """Whether this installation has the registry's command."""
    return importlib.util.find_spec("headwater.cli.registry") is not None


def start(stack: LocalStack) -> Process:
    """Start the registry on the stack's Kafka; does not wait for it."""
    argv = [sys.executable, "-m", "headwater", "registry"]
    argv += ["--port", str(stack.ports.registry), "--kafka", stack.kafka_address]
    return processes.start_process(stack.data_folder, NAME, argv)


def stop(stack: LocalStack) -> bool:
    """Stop the registry; False where it did not run."""
    return processes.stop_process(stack.data_folder, NAME, asks=((processes.TERMINATE, 8.0),))


def answers(stack: LocalStack) -> bool:
    """Whether the registry answers with its subjects."""
    try:
        with urllib.request.urlopen(f"{stack.registry_url}/subjects", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
