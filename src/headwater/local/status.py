"""What of the local stack runs, since when it answers, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headwater.local import launch, processes
from headwater.local.stack import EXTRA_PARTS, PARTS, LocalStack

State = Literal["running", "silent", "died", "stopped"]


@dataclass(frozen=True, slots=True)
class PartState:
    """One part as it is now. `memory_bytes` is its share (PSS) with all its children; None where it cannot be known."""

    name: str
    state: State
    pid: int | None
    ports: tuple[int, ...]
    memory_bytes: int | None
    address: str
    log: str

    def as_json(self) -> dict[str, object]:
        """The published JSON form."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "ports": list(self.ports),
            "memory_bytes": self.memory_bytes,
            "address": self.address,
            "log": self.log,
        }


def part_states(stack: LocalStack) -> list[PartState]:
    """Every part of the stack, and whatever else runs beside it (relay, runner), in the order of starting."""
    stack = launch.as_started(stack)
    others = [process.name for process in processes.recorded(stack.data_folder) if process.name not in PARTS]
    return [_state_of(stack, name) for name in [*PARTS, *others]]


def memory_bytes(pid: int) -> int | None:
    """The proportional memory (PSS) of a process and all below it; None where the system does not tell."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    family, shares = [pid], []
    for member in family:
        family.extend(children.get(member, []))
        shares.append(_share_bytes(member))
    return None if shares[0] is None else sum(share or 0 for share in shares)


def _share_bytes(pid: int) -> int | None:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))


def _state_of(stack: LocalStack, name: str) -> PartState:
    process = processes.find(stack.data_folder, name)
    ports = tuple(port for _, port in stack.ports_of(name))
    address = stack.address_of(name)
    if process is None:
        return PartState(name, "stopped", None, ports, None, address, "")
    if not process.alive:
        return PartState(name, "died", None, ports, None, address, process.log)
    state: State = "running" if name not in (*PARTS, *EXTRA_PARTS) or launch.answers(stack, name) else "silent"
    return PartState(name, state, process.pid, ports, memory_bytes(process.pid), address, process.log)
