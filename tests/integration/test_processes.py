"""Processes that outlive who started them: found again by pid and start, stopped in any state, never mistaken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.local import processes

SLEEPER = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


@pytest.fixture
def folder(tmp_path: Path):
    yield tmp_path
    for name in processes.running(tmp_path):
        processes.stop_process(tmp_path, name, asks=((signal.SIGKILL, 5.0),))


def wait_for_words(process: processes.Process, words: str) -> None:
    until = processes.SystemClock().monotonic() + 20_000_000
    while words not in processes.log_tail(process):
        assert processes.SystemClock().monotonic() < until, "the process said nothing"
        processes.SystemClock().sleep(10_000)


def test_a_started_process_is_found_by_every_later_command(folder: Path) -> None:
    started = processes.start_process(folder, "relay", SLEEPER)
    wait_for_words(started, "awake")
    code = "import pathlib, headwater.local.processes as p; print(p.running(pathlib.Path({!r}))['relay'].pid)"
    sources = Path(__file__).parents[2] / "src"
    seen = subprocess.run(
        [sys.executable, "-c", code.format(str(folder))],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": str(sources)},
    )
    assert int(seen.stdout) == started.pid
    assert os.getsid(started.pid) == started.pid, "it must not end with the terminal of who started it"


def test_it_gets_the_variables_it_was_given_beside_those_of_its_starter(folder: Path) -> None:
    shown = [sys.executable, "-c", "import os; print(os.environ['HEADWATER_ODD'], 'PATH' in os.environ)"]
    process = processes.start_process(folder, "relay", shown, {"HEADWATER_ODD": "yes"})
    assert processes.wait_for_end(process, seconds=20)
    assert processes.log_tail(process) == "yes True"


def test_a_name_runs_once(folder: Path) -> None:
    processes.start_process(folder, "relay", SLEEPER)
    with pytest.raises(CallerFault, match="running already") as caught:
        processes.start_process(folder, "relay", SLEEPER)
    assert caught.value.code == "HW-L010"


def test_a_process_that_ended_may_be_started_again(folder: Path) -> None:
    first = processes.start_process(folder, "relay", [sys.executable, "-c", ""])
    assert processes.wait_for_end(first, seconds=20)
    assert processes.running(folder) == {}
    assert processes.start_process(folder, "relay", SLEEPER).alive


def test_stopping_asks_first_and_kills_what_does_not_listen(folder: Path) -> None:
    deaf = processes.start_process(folder, "deaf", DEAF)
    wait_for_words(deaf, "deaf")
    assert processes.stop_process(folder, "deaf", asks=((signal.SIGTERM, 0.2),))
    assert not deaf.alive
    assert processes.recorded(folder) == []


def test_stopping_what_does_not_run_is_no_error(folder: Path) -> None:
    assert not processes.stop_process(folder, "relay")
    ended = processes.start_process(folder, "relay", [sys.executable, "-c", ""])
    assert processes.wait_for_end(ended, seconds=20)
    assert not processes.stop_process(folder, "relay")


def test_a_stranger_with_the_same_pid_is_never_touched(folder: Path) -> None:
    stranger = subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL)
    try:
        (folder / "run").mkdir()
        record = {"name": "relay", "pid": stranger.pid, "started": "boot:1", "argv": [], "log": ""}
        (folder / "run" / "relay.json").write_text(json.dumps(record))
        assert processes.running(folder) == {}
        assert not processes.stop_process(folder, "relay")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_record_cut_short_names_nobody(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "relay.json").write_text('{"name": "relay", "pi')
    assert processes.recorded(folder) == []
    assert processes.start_process(folder, "relay", SLEEPER).alive
