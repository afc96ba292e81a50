"""What the assembler holds is bounded, whatever comes; what it does not know is passed over."""

from __future__ import annotations

from headwater.outbox import pgoutput, pgoutput_write
from headwater.outbox.batching import Assembler, Limits
from headwater.outbox.event import COLUMNS
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch
from headwater.timeline.instant import Instant

AT = Instant(1_000_000_000_000_000)
READ = 100  # messages fed at once


def framed(body: bytes) -> bytes:
    return pgoutput_write.data(body, lsn=1, sent_at=AT)


def assembler(limits: Limits) -> Assembler:
    return Assembler(Position.start("7", 1, 0), table="public.outbox", tick=100_000, limits=limits)


def transaction(rows: int, payload: bytes) -> list[bytes]:
    relation = pgoutput.Relation(7, "public", "outbox", COLUMNS)
    insert = framed(pgoutput_write.insert(7, [payload if name == "payload" else b"x" for name in COLUMNS]))
    begin, commit = pgoutput.Begin(500, AT), pgoutput.Commit(500, 548)
    head = [framed(pgoutput_write.begin(begin)), framed(pgoutput_write.relation(relation))]
    return [*head, *[insert] * rows, framed(pgoutput_write.commit(commit))]


def taken(limits: Limits, messages: list[bytes]) -> list[Batch]:
    """The batches of a stream, taken as the relay does."""
    source, batches = assembler(limits), []
    for start in range(0, len(messages), READ):
        source.feed(messages[start : start + READ])
        if source.full and (batch := source.take()):
            batches.append(batch)
    last = source.take()
    return [*batches, *([last] if last else [])]


def test_a_transaction_of_any_size_is_held_in_parts_of_so_many_rows() -> None:
    batches = taken(Limits(rows=500), transaction(20_000, b"{}"))
    assert sum(batch.rows for batch in batches) == 20_000
    assert max(batch.rows for batch in batches) <= 500 + READ
    assert len({batch.segments[0].recorded_at for batch in batches}) == 1
    assert [batch.segments[0].ordinal for batch in batches] == [
        sum(b.rows for b in batches[:n]) for n in range(len(batches))
    ]


def test_and_in_parts_of_so_many_bytes() -> None:
    batches = taken(Limits(bytes=1_000_000), transaction(1_000, b"x" * 50_000))
    held = [sum(len(item) for run in batch.segments[0].runs for item in run.items) for batch in batches]
    assert sum(batch.rows for batch in batches) == 1_000
    assert max(held) <= 1_000_000 + READ * 51_000


def test_whole_transactions_before_a_large_one_do_not_hide_its_size() -> None:
    source = assembler(Limits(bytes=100_000))
    small = transaction(1, b"x")
    large = transaction(10, b"x" * 20_000)[:-1]
    large[0] = framed(pgoutput_write.begin(pgoutput.Begin(600, AT)))
    source.feed([*small, *large])
    first = source.take()
    assert first is not None and first.rows == 1
    assert source.full, "the open transaction's bytes still count"
    second = source.take()
    assert second is not None and second.rows == 10


def test_what_an_outbox_has_no_use_for_is_passed_over() -> None:
    messages = transaction(2, b"{}")
    others = [framed(tag + bytes(40)) for tag in (b"U", b"D", b"T", b"Y", b"O", b"S", b"?")]
    source = assembler(Limits())
    source.feed([messages[0], *others, *messages[1:3], *others, *messages[3:]])
    batch = source.take()
    assert batch is not None and batch.rows == 2
