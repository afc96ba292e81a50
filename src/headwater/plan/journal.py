"""What `apply` has done, on disk: so that one that was cut short is told of and gone on with, and drift has a name.

One small file for each mesh and environment, replaced whole: written beside, flushed, renamed, the folder flushed.
A crash leaves the old file or the new one. What is lost with the file is memory, never truth: the running mesh is asked
each time, and without the file a change by hand is taken for a change of the contract.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.errors import CallerFault
from headwater.plan.resource import Resource, RunnerOf
from headwater.plan.stages import Stage
from headwater.timeline.clock import Clock
from headwater.timeline.instant import Instant

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An apply that began and did not end."""

    began_at: Instant
    stages: tuple[str, ...]
    done: tuple[str, ...]

    def sentence(self) -> str:
        """What is told of it."""
        count = f"{len(self.done)} of {len(self.stages)} changes"
        return f"an apply that began at {self.began_at.iso()} was cut short after {count}; apply goes on with the rest"


class Journal:
    """The journal of one environment of one mesh, in the data folder."""

    def __init__(self, folder: Path, mesh: str, environment: str, *, clock: Clock) -> None:
        self.path = folder / f"applied-{mesh}-{environment}.json"
        self._clock = clock
        self._state = self._read()

    @property
    def applied(self) -> Mapping[str, Mapping[str, str]]:
        """What each resource was left as, by its id."""
        resources: Mapping[str, Mapping[str, str]] = self._state["resources"]
        return resources

    @property
    def interrupted(self) -> Interrupted | None:
        """The apply that was cut short, if one was."""
        found = self._state["open"]
        if found is None:
            return None
        return Interrupted(Instant.parse(found["began_at"]), tuple(found["stages"]), tuple(found["done"]))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the journal against another apply on this machine; raises `CallerFault` HW-D010 where one runs."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            opened = self.path.with_suffix(".lock").open("a")
        except OSError as error:
            raise self._unwritable(error) from None
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CallerFault(
                    "another apply is running",
                    code="HW-D010",
                    detail=f"it holds {lock.name}",
                    hint="wait until it has ended; the lock goes with its process",
                ) from None
            self._state = self._read()
            yield

    def begin(self, stages: Sequence[Stage]) -> None:
        """An apply begins; written before its first deed."""
        self._state["open"] = {
            "began_at": self._clock.now().iso(),
            "stages": [stage.id for stage in stages],
            "done": [],
        }
        self._write()

    def done(self, stage: Stage) -> None:
        """A deed was done."""
        self._state["open"]["done"].append(stage.id)
        self._write()

    def end(self, resources: Sequence[Resource | RunnerOf]) -> None:
        """The apply has ended, and these are as they should be. Writes nothing where nothing is new."""
        before = json.dumps(self._state, sort_keys=True)
        self._state["open"] = None
        self._state["resources"] |= {resource.id: dict(resource.applied()) for resource in resources}
        if json.dumps(self._state, sort_keys=True) != before:
            self._write()

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"format": _FORMAT, "open": None, "resources": {}}
        except (OSError, ValueError) as error:
            raise self._unreadable(type(error).__name__) from None
        if not isinstance(state, dict) or state.get("format") != _FORMAT or not {"open", "resources"} <= state.keys():
            raise self._unreadable("it has another format")
        return state

    def _write(self) -> None:
        beside = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("w", encoding="utf-8") as opened:
                json.dump(self._state, opened, indent=1, sort_keys=True)
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> CallerFault:
        return CallerFault(
            f"the journal {self.path} cannot be written: {error.strerror}",
            code="HW-D011",
            detail="what was done so far stays done; apply goes on from there",
            hint="make room or mend the rights of the folder, then headwater apply",
        )

    def _unreadable(self, why: str) -> CallerFault:
        return CallerFault(
            f"the journal {self.path} cannot be read: {why}",
            code="HW-D012",
            detail="it only remembers what was applied; the running mesh is asked each time",
            hint="move the file away and apply again: changes by hand are then taken for changes of the contract",
        )
