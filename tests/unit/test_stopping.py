"""A stop is heard whatever the main thread is doing, and whichever thread the system gives the signal to."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from headwater.stopping import Stopping

SECONDS = 20
ELSEWHERE = """
import signal, threading, time
from headwater.stopping import Stopping
stopping = {made}
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
other = threading.Thread(target=time.sleep, args=(60,), daemon=True)
other.start()
threading.Timer(0.5, signal.pthread_kill, (other.ident, signal.SIGTERM)).start()
print("told" if stopping.wait(60) else "not told", flush=True)
"""


def told_amid_the_wait(stopping: Stopping | threading.Event, line: int, patience: float = SECONDS) -> bool:
    """Whether the wait ends when `set` comes, as out of a signal's handler, at the so-many-th line that runs for it."""
    lines = [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_name in ("told_amid_the_wait", "wait_traced"):
            return trace
        if event == "line":
            lines[0] += 1
            if lines[0] == line:
                sys.settrace(None)
                stopping.set()
                sys.settrace(trace)
        return trace

    def wait_traced() -> None:
        sys.settrace(trace)
        stopping.wait(0.01)
        sys.settrace(None)

    thread = threading.Thread(target=wait_traced, daemon=True)
    thread.start()
    thread.join(patience)
    return not thread.is_alive()


def test_a_handler_may_tell_at_any_line_of_the_wait() -> None:
    assert all(told_amid_the_wait(Stopping(), line) for line in range(1, 30))


def test_an_event_would_wait_for_itself() -> None:
    """The saboteur: what the standard library has is not safe in a handler."""
    assert not all(told_amid_the_wait(threading.Event(), line, 0.5) for line in range(1, 8))


@pytest.mark.parametrize(("made", "heard"), [("Stopping()", True), ("threading.Event()", False)])
def test_a_signal_that_another_thread_gets_is_heard_too(made: str, heard: bool) -> None:
    script = [sys.executable, "-c", ELSEWHERE.format(made=made)]
    try:
        found = subprocess.run(script, capture_output=True, text=True, timeout=SECONDS if heard else 4)
    except subprocess.TimeoutExpired:
        assert not heard
    else:
        assert heard and found.stdout == "told\n"


def test_all_who_wait_are_woken_and_it_may_be_said_again() -> None:
    stopping, woken = Stopping(), list[bool]()
    threads = [threading.Thread(target=lambda: woken.append(stopping.wait(SECONDS))) for _ in range(8)]
    for thread in threads:
        thread.start()
    stopping.set()
    stopping.set()
    for thread in threads:
        thread.join(SECONDS / 2)
    assert woken == [True] * 8 and stopping.is_set() and stopping.wait(0.0)


def test_without_a_word_the_wait_ends_in_its_time() -> None:
    stopping = Stopping()
    assert not stopping.wait(0.01) and not stopping.wait(0.0) and not stopping.is_set()
