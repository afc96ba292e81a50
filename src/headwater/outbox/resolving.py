"""Rows that speak of entries in quarantine: repairs and commands, each done once, in the order of commits.

What cannot be done leaves the entry as it is and is told nevertheless, so that every row is accounted for: a repair
that is refused is kept whole and discarded at once, a command that is refused is a record with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headwater.errors import Misfit
from headwater.outbox.aside import set_aside
from headwater.outbox.commands import COMMAND_TYPE, Command, read_command
from headwater.outbox.encode import Encoded
from headwater.outbox.held import find_entries, kept_row
from headwater.outbox.pgoutput import Row
from headwater.outbox.turn import Lines, Turn, reasons
from headwater.ports.quarantine import PREFIX, RESOLUTION
from headwater.ports.quarantine_log import Entry
from headwater.ports.record import Header

_COMMAND = COMMAND_TYPE.encode()


@dataclass(slots=True)
class Resolver:
    """Does what repairs and commands of one turn ask for."""

    turn: Turn

    def ask(self, rows: Iterable[Row]) -> None:
        """Look up the entries that these rows speak of; each product's topic is read once."""
        wanted: dict[bytes, set[str]] = {}
        for row in rows:
            product, identity = row[1] or b"", _spoken_of(row)
            if identity and product in self.turn.scope.targets:
                wanted.setdefault(product, set()).add(identity)
        for product, identities in wanted.items():
            found = find_entries(self.turn.scope.broker, self.turn.scope.topic(product), identities)
            for identity in identities:
                self.turn.asked[product, identity] = found.get(identity)

    def does(self, lines: Lines, place: int) -> bool:
        """Do what a row asks for; False where it is of a product that this source does not have."""
        row = lines.rows[place]
        product = row[1] or b""
        if product not in self.turn.scope.targets:
            return False
        if row[3] == _COMMAND:
            self._command(product, row, lines.segment.recorded_at)
        else:
            self._repair(product, lines, place)
        return True

    def _repair(self, product: bytes, lines: Lines, place: int) -> None:
        row, turn, recorded_at = lines.rows[place], self.turn, lines.segment.recorded_at
        entry = turn.asked.get((product, _spoken_of(row)))
        key = row[2] or b""
        if entry is None or entry.state != "open":
            self._refuse(product, lines, place, _not_open(entry))
            return
        if turn.is_held(row) and turn.scope.parking[product].keys[key].head != entry.id:
            self._refuse(product, lines, place, _key_is_parked())
            return
        encoded = turn.encode(lines.part(place, place + 1))
        if encoded.misfits:
            self._refuse(product, lines, place, encoded)
            return
        turn.add(encoded)
        turn.tell(product, entry.id, entry.key, "repaired", recorded_at, replay=_text(row[0]))
        self._freed(product, entry, recorded_at)

    def _command(self, product: bytes, row: Row, recorded_at: int) -> None:
        turn, identity, key = self.turn, _spoken_of(row), row[2] or b""
        facts: dict[str, str | None] = {"command": _text(row[0])}
        try:
            command = read_command(row[4])
            facts |= {"by": command.by or None, "reason": command.reason or None}
            entry = turn.asked.get((product, command.id))
            if entry is None:
                raise _not_open(None)
            key = entry.key
            self._obey(product, entry, command, recorded_at, facts)
        except Misfit as misfit:
            turn.tell(product, identity, key, "kept", recorded_at, **facts, refusal=misfit.code)

    def _obey(
        self, product: bytes, entry: Entry, command: Command, recorded_at: int, facts: dict[str, str | None]
    ) -> None:
        if command.action == "note":
            if entry.facts.get("replay") != command.row:
                raise _not_open(entry)
            self.turn.tell(product, entry.id, entry.key, "kept", recorded_at, **facts)
        elif command.action == "discard":
            self._discard(product, entry, recorded_at, facts)
        elif command.action == "release" and entry.state == "open":
            self._release(product, entry, recorded_at, facts)
        else:
            self._unpark(product, entry, recorded_at, facts)

    def _discard(self, product: bytes, entry: Entry, recorded_at: int, facts: dict[str, str | None]) -> None:
        if entry.state not in ("open", "parked"):
            raise _not_open(entry)
        if entry.state == "parked":
            parked = self.turn.scope.parking.get(product)
            waiting = parked.keys.get(entry.key) if parked is not None else None
            if waiting is not None:
                waiting.passed[entry.id] = entry.sequence
            facts = {**facts, "sequence": str(entry.sequence)}
        self.turn.tell(product, entry.id, entry.key, "discarded", recorded_at, **facts)
        self._freed(product, entry, recorded_at)

    def _release(self, product: bytes, entry: Entry, recorded_at: int, facts: dict[str, str | None]) -> None:
        """Try an open entry again as it is."""
        turn, parked = self.turn, self.turn.scope.parking.get(product)
        if parked is not None and entry.key in parked.keys and parked.keys[entry.key].head != entry.id:
            raise _key_is_parked()
        row = turn.asked_rows.get(entry.id) or kept_row(turn.scope.broker, entry)
        encoded = turn.encode_row(row, recorded_at)
        if encoded.misfits:
            turn.tell(product, entry.id, entry.key, "kept", recorded_at, **facts, **reasons(encoded))
            return
        turn.add(encoded)
        turn.tell(product, entry.id, entry.key, "released", recorded_at, **facts)
        self._freed(product, entry, recorded_at)

    def _unpark(self, product: bytes, entry: Entry, recorded_at: int, facts: dict[str, str | None]) -> None:
        """Let a key go on without the entry that holds it back, which stays open."""
        parked = self.turn.scope.parking.get(product)
        waiting = parked.keys.get(entry.key) if parked is not None else None
        if waiting is None or waiting.head is None or entry.state not in ("open", "parked"):
            raise _not_open(entry)
        if entry.state == "open" and waiting.head != entry.id:
            raise _not_open(entry)
        head, waiting.head = waiting.head, None
        self.turn.tell(product, head, entry.key, "unparked", recorded_at, **facts)
        self.turn.release(product, entry.key, recorded_at)

    def _freed(self, product: bytes, entry: Entry, recorded_at: int) -> None:
        """An entry is gone: what it held back goes on."""
        parked = self.turn.scope.parking.get(product)
        waiting = parked.keys.get(entry.key) if parked is not None else None
        if waiting is not None:
            if waiting.head == entry.id:
                waiting.head = None
            self.turn.release(product, entry.key, recorded_at)

    def _refuse(self, product: bytes, lines: Lines, place: int, why: Misfit | Encoded) -> None:
        """Keep a repair that cannot be done, whole, and discarded at once: it is accounted for, and nothing waits."""
        turn, row, target = self.turn, lines.rows[place], self.turn.scope.targets[product]
        more: list[Header] = [(RESOLUTION, b"discarded")]
        misfit = why if isinstance(why, Misfit) else Misfit("the repair does not fit", code=why.misfits[-1][1])
        record = set_aside(row, target.product, misfit, "contract", lines.origin(place), more)
        if isinstance(why, Encoded):  # with the reason that the encoder found, digest and class included
            told = {PREFIX + name.replace("_", "."): value.encode() for name, value in reasons(why).items()}
            record = (*record[:5], [(name, told.get(name, value)) for name, value in record[5]])
        turn.records.append(record)
        turn.misfits.append((str(target.product.name), misfit.code))


def _spoken_of(row: Row) -> str:
    """The id of the entry that a row speaks of; empty where it says none that can be read."""
    if row[3] != _COMMAND:
        return _text(row[11])
    try:
        return read_command(row[4]).id
    except Misfit:
        return ""


def _not_open(entry: Entry | None) -> Misfit:
    what = "no entry of this id is in the quarantine" if entry is None else f"the entry is {entry.state} already"
    return Misfit(
        what if entry is None or entry.state != "parked" else "the entry is held behind another of its key",
        code="HW-O103",
        field="replay_of",
        detail="a row in quarantine is repaired, released or discarded once",
        hint="headwater quarantine list shows what is open",
    )


def _key_is_parked() -> Misfit:
    return Misfit(
        "the key of the row is held back by another row in quarantine",
        code="HW-O105",
        field="aggregateid",
        detail="published now, it would overtake those that wait",
        hint="repair, release or discard that row first",
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
