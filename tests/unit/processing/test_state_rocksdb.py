from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rocksdict import Rdict

from headwater.errors import CallerFault, Fault, Unreachable
from headwater.processing.state import MemoryStore
from headwater.processing.state_rocksdb import Position, RocksStates, RocksStore, _options

SMALL_KEYS = st.binary(min_size=0, max_size=3)
CHANGES = st.lists(st.tuples(SMALL_KEYS, st.none() | st.binary(max_size=3)), max_size=12)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RocksStates]:
    states = RocksStates(tmp_path_factory.mktemp("state"))
    yield states
    states.close()


NUMBERS = itertools.count(0, 3)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(batches=st.lists(CHANGES, max_size=5), start=SMALL_KEYS, end=SMALL_KEYS, reverse=st.booleans())
def test_it_answers_as_a_store_in_memory_does(
    shared: RocksStates,
    batches: list[list[tuple[bytes, bytes | None]]],
    start: bytes,
    end: bytes,
    reverse: bool,
) -> None:
    number = next(NUMBERS)
    before, store, after, plain = shared.task(number), shared.task(number + 1), shared.task(number + 2), MemoryStore()
    for neighbour in (before, after):
        neighbour.apply([(b"", b"not mine"), (b"\xff\xff\xff\xff", b"not mine")])
    for batch in batches:
        store.apply(batch)
        plain.apply(batch)
    assert list(store.scan(start, end, reverse=reverse)) == list(plain.scan(start, end, reverse=reverse))
    assert all(store.get(key) == plain.get(key) for batch in batches for key, _ in batch)
    bounds = sorted({b"", start, end, *(key for batch in batches for key, _ in batch[::2])})
    spans = list(zip(bounds[::2], bounds[1::2], strict=False))
    expected = [(number, *entry) for number, span in enumerate(spans) for entry in plain.scan(*span)]
    assert list(store.scan_many(spans)) == list(plain.scan_many(spans)) == expected


def test_changes_and_position_are_there_after_a_restart(tmp_path: Path) -> None:
    states = RocksStates(tmp_path / "s")
    assert states.task(0).position is None
    states.task(0).commit([(b"a", b"1")], Position(7, {"t": 5}))
    states.close()
    states = RocksStates(tmp_path / "s")
    store = states.task(0)
    assert store.get(b"a") == b"1" and store.position == Position(7, {"t": 5})
    states.close()


def test_a_wiped_partition_is_empty_and_others_are_not(tmp_path: Path) -> None:
    states = RocksStates(tmp_path / "s")
    for number in (0, 1, 2):
        states.task(number).commit([(b"a" * 40, b"1"), (b"\xff" * 20, b"2")], Position(1, {}))
    states.task(1).wipe()
    assert states.task(1).position is None and not list(states.task(1).scan(b"", b"\xff" * 30))
    assert [len(list(states.task(n).scan(b"", b"\xff" * 30))) for n in (0, 2)] == [2, 2]
    states.close()


def test_a_folder_that_cannot_be_opened_is_made_anew(tmp_path: Path) -> None:
    states = RocksStates(tmp_path / "s")
    states.task(0).commit([(b"a", b"1")], Position(1, {}))
    states.close()
    (tmp_path / "s" / "CURRENT").write_text("junk\n")
    states = RocksStates(tmp_path / "s")
    assert states.task(0).position is None and states.task(0).get(b"a") is None
    states.close()


def damaged(folder: Path, entries: int, hurt: Callable[[bytearray], None]) -> None:
    """A store of so many entries, closed, of which every table is hurt."""
    states = RocksStates(folder)
    states.task(0).commit([(b"%06d" % n, b"x" * 100) for n in range(entries)], Position(1, {}))
    states._database.flush()
    states.close()
    for table in folder.glob("*.sst"):
        body = bytearray(table.read_bytes())
        hurt(body)
        table.write_bytes(body)


def test_bytes_that_changed_on_disk_are_a_fault_and_the_next_opening_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "s"

    def hurt(body: bytearray) -> None:
        body[1_000:3_000] = bytes(2_000)

    damaged(folder, 5_000, hurt)
    states = RocksStates(folder)
    with pytest.raises(Fault) as refused:
        for number in range(5_000):
            states.task(0).get(b"%06d" % number)
    assert refused.value.code == "HW-P031"
    states.close()
    states = RocksStates(folder)
    assert states.task(0).position is None
    states.close()


def test_a_table_that_is_damaged_where_it_is_opened_is_made_anew_and_not_taken_for_one_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "s"

    def hurt(body: bytearray) -> None:
        for place in range(len(body) - 800, len(body) - 60, 40):  # what the footer points to
            body[place] ^= 1

    damaged(folder, 50, hurt)
    with pytest.raises(Exception, match="block checksum mismatch"):
        Rdict(str(folder), options=_options())
    states = RocksStates(folder)
    assert states.task(0).position is None
    states.close()


def test_a_store_in_use_is_said_so(tmp_path: Path) -> None:
    hold = "import sys, rocksdict; held = rocksdict.Rdict(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(CallerFault) as refused:
            RocksStates(tmp_path / "s")
        other.kill()
    assert refused.value.code == "HW-P030"


class FullDisk:
    """A database whose disk takes no more, as rocksdict tells it: by bare exceptions."""

    def write(self, batch: object) -> None:
        raise Exception("IO error: No space left on device: While appending to file: 000008.log")

    def get(self, key: bytes) -> None:
        return None

    def close(self) -> None:
        raise Exception("IO error: No space left on device")


def test_a_full_disk_is_waited_for_and_the_state_is_not_thrown_away(tmp_path: Path) -> None:
    store = RocksStore(FullDisk(), 0, tmp_path / "state")
    with pytest.raises(Unreachable) as raised:
        store.commit([(b"key", b"value")], Position(1))
    assert raised.value.code == "HW-P035" and raised.value.retriable and raised.value.hint
    assert not list(tmp_path.iterdir()), "a full disk damages nothing"


def test_closing_on_a_full_disk_does_not_hide_why(tmp_path: Path) -> None:
    states = RocksStates(tmp_path / "state")
    states.close()
    states._database = FullDisk()
    states.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match="takes no more") as raised:
        RocksStates(tmp_path / "file" / "state")
    assert "Not a directory" in raised.value.detail
