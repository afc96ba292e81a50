"""The encoder with a memory for what went aside: keys that are parked, repairs, commands.

It stands where the encoder stands. A batch that nothing of this concerns goes straight through: what the encoder made
of it tells, by the headers of its records. Its state is made from the quarantine topics
at each start of the relay, after the predecessor is fenced, and what a batch changes in it holds only if that batch is
committed: after any doubt the relay makes a new desk.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.hooks import Hooks
from headwater.naming import quarantine_topic
from headwater.outbox.batching import Limits
from headwater.outbox.commands import COMMAND_TYPE
from headwater.outbox.encode import Encoded, Encoder, Target
from headwater.outbox.parked import ParkedKeys
from headwater.outbox.pgoutput import Row
from headwater.outbox.resolving import Resolver
from headwater.outbox.segment import Batch
from headwater.outbox.turn import Lines, Scope, Turn
from headwater.ports.protocol import Broker
from headwater.ports.quarantine_log import committed

_COMMAND = COMMAND_TYPE.encode()


class Desk:
    """Encodes batches as `Encoder` does, and keeps the promises of quarantine besides."""

    def __init__(
        self,
        encoder: Encoder,
        targets: Sequence[Target],
        broker: Broker,
        *,
        source: str,
        system_id: str,
        limits: Limits | None = None,
    ) -> None:
        self._encoder = encoder
        self._scope = Scope(
            encoder=encoder,
            broker=broker,
            targets={str(target.product.name).encode(): target for target in targets},
            parking={
                str(target.product.name).encode(): parked_keys(target, broker)
                for target in targets
                if target.product.output.output.on_invalid == "park-key"
            },
            source=source,
            system_id=system_id,
            limits=limits or Limits(),
        )
        self._parks = {product.decode() for product in self._scope.parking}
        self._last: Turn | None = None

    @property
    def backlog(self) -> bool:
        """Whether rows wait that nothing holds back: they go out with the next batches, rows or not."""
        return any(
            parked.releasing for parked_keys in self._scope.parking.values() for parked in parked_keys.keys.values()
        )

    def encode(self, batch: Batch) -> Encoded:
        """All rows of a batch, and what becomes of entries by it. The batch before was committed."""
        self._settle()
        if not any(parked_keys.keys for parked_keys in self._scope.parking.values()):
            encoded = self._encoder.encode(batch)
            if not self._concerned(encoded):
                return encoded
        turn = self._last = Turn(self._scope, batch)
        every = [Lines(segment, self._scope.source, self._scope.system_id) for segment in batch.segments]
        resolver = Resolver(turn)
        resolver.ask(row for lines in every for row in lines.rows if _speaks(row))
        turn.go_on()
        for lines in every:
            self._rows(turn, resolver, lines, 0, len(lines.rows))
        return Encoded(turn.records, turn.misfits)

    def announce(self, hooks: Hooks) -> None:
        """Say what the batch that was committed last did: rows held, entries resolved."""
        if self._last is not None:
            for product, _ in self._last.held:
                hooks.announce("relay.parked", product=product.decode())
            for name, outcome in self._last.resolved:
                hooks.announce("relay.resolved", product=name, outcome=outcome)

    def _rows(self, turn: Turn, resolver: Resolver, lines: Lines, first: int, last: int) -> None:
        """Rows in order: ordinary ones in runs, the others each by itself."""
        run = first
        for place in range(first, last):
            row = lines.rows[place]
            speaks = _speaks(row)
            if speaks or turn.is_held(row):
                self._run(turn, resolver, lines, run, place)
                run = place + 1
                if speaks and resolver.does(lines, place):
                    continue
                if turn.is_held(row):
                    turn.hold(row, lines.origin(place))
                else:
                    self._run(turn, resolver, lines, place, run)
        self._run(turn, resolver, lines, run, last)

    def _run(self, turn: Turn, resolver: Resolver, lines: Lines, first: int, last: int) -> None:
        """Rows that were ordinary when they were looked at. One that does not fit may change that for those behind."""
        if first >= last:
            return
        encoded = turn.encode(lines.part(first, last))
        if turn.fits(encoded):
            turn.add(encoded)
        elif last - first == 1:
            turn.park(encoded, lines.rows[first])
        else:
            middle = (first + last) // 2
            self._run(turn, resolver, lines, first, middle)
            self._rows(turn, resolver, lines, middle, last)

    def _concerned(self, encoded: Encoded) -> bool:
        """Whether a row of a product that parks keys did not fit, or one speaks of an entry."""
        if encoded.misfits and not self._parks.isdisjoint(product for product, _ in encoded.misfits):
            return True
        return any(
            name == "replay.id" or (name == "outbox.type" and value == _COMMAND)
            for record in encoded.records
            if len(record[5]) > 1
            for name, value in record[5]
        )

    def _settle(self) -> None:
        """What the last batch held is in the topic by now."""
        if self._last is not None:
            for product, key in self._last.held:
                parked = self._scope.parking[product].keys.get(key)
                if parked is not None:
                    parked.fresh.clear()
            self._last = None


def parked_keys(target: Target, broker: Broker) -> ParkedKeys:
    """The parked keys of a product, from its quarantine topic. Keys and offsets only."""
    return ParkedKeys().fold(committed(broker, quarantine_topic(target.product.name, target.product.major)))


def _speaks(row: Row) -> bool:
    """Whether a row says something of an entry in quarantine."""
    return bool(row) and (row[11] is not None or row[3] == _COMMAND)
