"""One round: start a system, watch until it has done all its input, measure, stop it, have its output judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from confluent_kafka import KafkaException

from bench.machine import TESTED_CORE, start, stop
from bench.meter import PeakMemory, usage
from bench.report import Round
from bench.stack import Stack, tail
from bench.systems.protocol import System

POLL_SECONDS = 0.05
STALL_SECONDS = 120.0  # without any progress: the run has failed
FAULTS = (RuntimeError, TimeoutError, OSError, ValueError, KafkaException)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was seen at one look."""

    at: float
    done: int
    cpu_seconds: float


def measure(system: System, stack: Stack, *, events: int, round_: int, warm: int = 0) -> Round:
    """Drain `events` once. A fault of the system, or of the broker with it, is part of the round and never raised: the
    others' rounds must not be lost with it. Such a round has no time, unless only what it made could not be removed.

    What runs until `warm` of them are done counts as start-up.
    """
    try:
        system.prepare(round_)
        done = _drained(system, stack, events, warm)
    except FAULTS as error:
        done = failed(_words(error))
    try:
        system.clean()
    except FAULTS as error:
        done = done if done.fault else replace(done, fault=f"what it made cannot be removed: {_words(error)}")
    return done


def _drained(system: System, stack: Stack, events: int, warm: int) -> Round:
    log = stack.log(system.name)
    log.unlink(missing_ok=True)
    broker_before = stack.broker_cpu_seconds()
    started = time.monotonic()
    process = start(system.command(), core=TESTED_CORE, log=log)
    memory = PeakMemory(process.pid)

    def look() -> _Moment:
        if process.poll() is not None:
            raise RuntimeError(f"{system.name} ended with {process.returncode} before its work was done:\n{tail(log)}")
        return _Moment(time.monotonic(), system.progress(), usage(process.pid).cpu_seconds)

    try:
        first, last = _watched(look, events, warm)
        broker = stack.broker_cpu_seconds() - broker_before
    finally:
        rss_bytes = memory.stop()
        stop(process)
    verdict = system.verify()
    return Round(
        seconds=last.at - started,
        seconds_running=last.at - first.at,
        events_running=events - first.done,
        cpu_seconds=last.cpu_seconds,
        cpu_seconds_running=last.cpu_seconds - first.cpu_seconds,
        rss_bytes=rss_bytes,
        broker_cpu_seconds=broker,
        outputs=verdict.outputs,
        fault=verdict.fault,
        right_share=verdict.right_share,
    )


def _watched(look: Callable[[], _Moment], events: int, warm: int) -> tuple[_Moment, _Moment]:
    """The first moment with some progress, `warm` at least, and the first with all done."""
    first: _Moment | None = None
    last = look()
    moved_at = last.at
    while last.done < events:
        time.sleep(POLL_SECONDS)
        now = look()
        if now.done > last.done:
            moved_at = now.at
            first = first or (now if now.done >= warm else None)
        elif now.at - moved_at > STALL_SECONDS:
            raise TimeoutError(f"no progress for {STALL_SECONDS:.0f} s after {now.done} of {events}")
        last = now
    return first or last, last


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def failed(fault: str) -> Round:
    """A round without a time, and why."""
    return Round(0.0, 0.0, 0, 0.0, 0.0, 0, 0.0, 0, fault=fault)
