"""A live job in a process of its own on this machine, which is a cluster for it alone and outlives its command."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from headwater.errors import Fault
from headwater.local import processes
from headwater.local.flink import class_path, java_command, local_settings, written
from headwater.local.flink_place import Note, not_running
from headwater.local.flink_record import folder_of, process_of, this_machine
from headwater.local.stack import Phases, quiet
from headwater.processing.deployed import Deployed
from headwater.timeline.clock import Clock

_START_MICROSECONDS = 600_000_000  # a process that dies is seen at once: this is for one that hangs
_POLL_MICROSECONDS = 100_000


class OwnProcess:
    """The place of a product's job on this machine; what it keeps lies in the data folder."""

    def __init__(self, product: str, data_folder: Path, clock: Clock, phases: Phases = quiet) -> None:
        self._name = product
        self._data_folder = data_folder
        self._clock = clock
        self._phases = phases

    def deployed(self, called: str, fits: str) -> Deployed:
        """What will be on record of a job here."""
        folder = f"file://{folder_of(self._data_folder, self._name)}"
        return Deployed(0, called, fits, folder=folder, host=this_machine(), data_folder=str(self._data_folder))

    def prepare(self, statements: Sequence[str], settings: Mapping[str, object]) -> None:
        """Fetch and compile what is not there yet; the job itself finds whether it can be begun."""
        class_path(phases=self._phases)

    def start(self, statements: Sequence[str], settings: Mapping[str, object], note: Note) -> None:
        """Start the process, and write down where its job is."""
        folder, name = folder_of(self._data_folder, self._name), process_of(self._name)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of jobs that are gone; savepoints stay
        address = folder / "address"
        address.unlink(missing_ok=True)
        own = {
            **local_settings(),
            "io.tmp.dirs": folder,
            "execution.checkpointing.dir": f"file://{folder}/checkpoints",
            **settings,
        }
        log = self._data_folder / "logs" / f"{name}.job.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        argv = [*java_command("Live", folder, log), *written(folder, own, statements), str(address)]
        processes.stop_process(self._data_folder, name)  # one whose job is over still tells why
        process = processes.start_process(self._data_folder, name, argv)
        until = self._clock.monotonic() + _START_MICROSECONDS
        while not address.is_file():
            if not process.alive or self._clock.monotonic() > until:
                raise self._failed(process.log)
            self._clock.sleep(_POLL_MICROSECONDS)
        url, job = address.read_text().splitlines()
        note(cluster=url, job=job)

    def clear(self) -> None:
        """End the process, and with it whatever job there is."""
        processes.stop_process(self._data_folder, process_of(self._name))

    def close(self) -> None:
        """Nothing is held open."""

    def _failed(self, log: str) -> Fault:
        return not_running(f"its log says why: {log}; it may hold values of records")
