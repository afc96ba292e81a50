"""What the core announces, and the named failpoints of critical paths. Others listen; the core knows none of them.

A `Listener` gets every happening as a name and fields. Names are a closed list, `HAPPENINGS`, so that metrics and logs
can be complete. A failpoint is a named step of a critical path at which a chaos test ends the process: arm one with
`HEADWATER_FAILPOINT=name:nth:action`; unarmed it costs one call. The action is `kill` (SIGKILL), `stop` (SIGSTOP, and
SIGCONT lets it go on, as a machine that slept does) or `raise`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Protocol

HAPPENINGS = {
    "relay.started": "a relay has its source's lease and reads: source",
    "relay.waiting": "a relay cannot go on for now and tries again; nothing is lost: source, code, reason",
    "relay.committed": (
        "a relay committed a Kafka transaction: source, records, columnar, transactions, recorded_at, seconds"
    ),
    "relay.failed": "a relay ended, for a reason that waiting does not mend: source, code, reason, hint, others",
    "relay.quarantined": "a row did not fit its contract: product, code",
    "relay.parked": "a row waits, since an earlier one of its key is in quarantine: product",
    "relay.resolved": "what became of a row in quarantine: product, outcome",
    "relay.loaded": "rows that a table had already were published: source, product, rows, total, rate, done",
    "relay.repaired": "a repair published what was missing: source, rows",
    "relay.pulse": "what waits in an outbox, and what its slot holds back; a field without a value is not known: "
    "source, readable, retained_bytes, waiting_rows, waiting_seconds, oldest_seconds, partitions",
    "relay.retaining": "a slot holds back so much of the database's log that somebody should look: "
    "source, retained_bytes, alarm_bytes, limit_bytes",
    "relay.tidied": "a chore of an outbox table was due: source, chore, outcome",
    "relay.untidy": "an outbox table cannot be kept in order by the relay: source, code, reason, hint",
    "relay.skipped": "rows that the database sent again and that were published already: source, rows",
    "stage.committed": (
        "ticks are committed: product, stage, records, folded, columnar, repeats, superseded, limit, seconds"
    ),
    "stage.too_slow": (
        "a transaction took longer than it may and is tried again with fewer inputs: "
        "product, stage, limit, reason, code"
    ),
    "stage.quarantined": "a record could not be decoded or processed: product, stage, code",
    "product.told": "a derived product is told to stand still or to go on: product, does, by, why, paused",
    "product.misdirected": "what lies in a control topic is no command and is passed over: product, offset",
    "product.failed": (
        "a derived product ended, for a reason that waiting does not mend: product, stage, code, reason, hint, others"
    ),
    "stage.holding": (
        "what a stage holds that is not committed, about once a second where it changes; paused are partitions of "
        "inputs that are ahead: product, stage, bytes, records, paused"
    ),
    "stage.cleared": "what a stage has read of its rekey topics was deleted: product, stage, offsets",
    "stage.copied": "copies of the state of others' partitions were brought up to date: product, stage, entries",
    "stage.restoring": (
        "a task's state is being read back, about once a second: product, stage, partition, entries, left, percent"
    ),
    "stage.restored": "a task's state was rebuilt: product, stage, partition, entries, seconds",
    "stage.recalled": (
        "what a task remembers of an input was made again from its records: product, stage, partition, topic, records, "
        "seconds"
    ),
    "stage.rebuilt": "clients were dropped and rebuilt after a doubt: product, stage, code",
    "flink.seen": (
        "a live Flink job was looked at; a field without a value is not known: product, running, stopped, lag, "
        "late_seconds, checkpoint_age_seconds, failed_checkpoints, lost"
    ),
    "flink.deployed": "a live Flink job that failed was deployed again: product",
    "faust.lag": "how far a Faust application is behind in a topic, about once a second: product, topic, records",
    "faust.stalled": (
        "a Faust application stands still without an error, and its process ends to be started again; what is the "
        "loop, the group, a stage or an agent of the user's own: product, what, where, lag, seconds, code"
    ),
    "consumer.waiting": "a consumer cannot go on for now and tries again; nothing is lost: consumer, code, reason",
    "consumer.committed": (
        "a consumer took in records with what they cause; repeats were known already: "
        "consumer, records, repeats, unreadable"
    ),
    "consumer.forgot": "a consumer forgot versions whose records retention has removed: consumer, versions",
    "index.filling": (
        "a server's index reads a product's topic for the first time, or what came while it was down, about once a "
        "second: product, records, percent"
    ),
    "index.waiting": "a server's index cannot go on for now and tries again; nothing is lost: code, reason",
    "lake.committed": "a table of the lake has more of its topic: table, records, files, unreadable, seconds",
    "lake.waiting": "a writer of the lake cannot go on for now and tries again; nothing is lost: table, code, reason",
    "lake.failed": (
        "a writer of the lake ended, for a reason that waiting does not mend: table, code, reason, hint, others"
    ),
    "producer.rebuilt": "the guarded producer took a new epoch: transactional_id, reason",
}


class Listener(Protocol):
    """Hears what happened; must not raise and must not block."""

    def __call__(self, happening: str, fields: dict[str, object]) -> None:
        """One happening, by its name in `HAPPENINGS`, with its fields."""


class Hooks:
    """Announces happenings to the listeners it was given.

    >>> heard = []
    >>> hooks = Hooks([lambda happening, fields: heard.append((happening, fields))])
    >>> hooks.announce("relay.skipped", source="orders.public.outbox", rows=3)
    >>> heard
    [('relay.skipped', {'source': 'orders.public.outbox', 'rows': 3})]
    """

    def __init__(self, listeners: list[Listener] | None = None) -> None:
        self._listeners = list(listeners or [])

    def announce(self, happening: str, /, **fields: object) -> None:
        """Tell every listener; `happening` is a name in `HAPPENINGS`."""
        assert happening in HAPPENINGS, happening
        for listener in self._listeners:
            listener(happening, fields)


class FailpointReached(RuntimeError):
    """Raised by a failpoint that is armed with `raise`."""


def arm(spec: str) -> Callable[[str], None]:
    """A function to call at each named step; `spec` is `name:nth:action` or empty (then it does nothing).

    >>> failpoint = arm("relay.before_commit:2:raise")
    >>> failpoint("relay.before_commit"); failpoint("another")
    >>> failpoint("relay.before_commit")
    Traceback (most recent call last):
    headwater.hooks.FailpointReached: relay.before_commit
    """
    if not spec:
        return lambda name: None
    wanted, nth, action = spec.split(":")
    left = [int(nth)]

    def reached(name: str) -> None:
        if name != wanted:
            return
        left[0] -= 1
        if left[0] == 0:
            if action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if action == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
                return
            raise FailpointReached(name)

    return reached
