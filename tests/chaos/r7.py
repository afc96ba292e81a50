"""R7: an EndTxn that is held back, repeated by the client, and delivered into a later transaction.

{a stale commit, a stale abort} x {guarded producer, the same with its suspicion off}, released between the first and
the last AddPartitionsToTxn of the next transaction, or after a random time; the client's connection is reset, closed or
left to time out. Then the same through `headwater relay` (`r7_relay`). `run(trials=20, seed=1)` answers what
`make chaos` prints: `trials` guarded ones of each ending, a quarter as many of the control, and of the relay.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import r7_relay, stacks
from tests.chaos.counted import counted
from tests.chaos.r7_reader import COUNTS, Reader, judge
from tests.chaos.r7_writer import PARTITIONS, UnsuspectingProducer, Writer, Written, normal_cost

from headwater.local.stack import LocalStack
from headwater.ports.guarded import RETRY_BACKOFF_MS, SUSPICIOUS_SHARE, GuardedProducer
from headwater.ports.kafka import KafkaBroker
from headwater.ports.record import TopicDescription
from headwater.testing.kafka_proxy import KafkaProxy
from headwater.testing.kafka_proxy_rules import Answered, Cut, Elapsed, Frames, Hold, Rule, Seen

KINDS: dict[str, type[GuardedProducer]] = {"guarded": GuardedProducer, "naive": UnsuspectingProducer}
ENDINGS = ("commit", "abort")
LATE_MS = 5_000.0  # of the random releases
RED_TRIES = 5
RANDOM_EVERY = 4  # each so many trials releases at random
LIKE_EVERY = 5  # each so many trials the next transaction ends as the stale frame says
SOCKET_TIMEOUT_MS = 1_500  # of a client whose connection is left to time out
INNOCENT_SECONDS = RETRY_BACKOFF_MS * SUSPICIOUS_SHARE / 1_000  # no client repeats before
NORMAL = (200, 3)  # transactions in a round, rounds


@dataclass
class Outcome:
    """What the trials of one kind and ending came to."""

    counts: Counter[str]
    frames: Counter[str] = field(default_factory=Counter)  # the broker's answers to the stale frames
    rebuilds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    missed: int = 0  # repeats that raised no suspicion
    innocent: int = 0  # frames held back so shortly, and not cut off, that the client repeated nothing
    trials: int = 0

    def anomalies(self) -> int:
        return sum(self.counts[name] for name in COUNTS)

    def report(self) -> dict[str, Any]:
        told = {"trials": self.trials, **{name: self.counts[name] for name in COUNTS}}
        told |= {"stale_frames": dict(self.frames), "errors": dict(self.errors)}
        return told | {"repeats_missed": self.missed, "not_repeated": self.innocent}


def run(
    *, trials: int = 20, seed: int = 1, stack: LocalStack | None = None, relay: bool = True, normal: bool = True
) -> dict[str, Any]:
    """The whole of R7; `relay` and `normal` leave out the relay's part and the cost where nothing is wrong."""
    started = time.monotonic()
    with stacks.own_stack() if stack is None else nullcontext(stack) as running:
        controls = max(6, trials // 4)
        found = {
            f"{kind} {ending}": trials_of(running.kafka_address, kind, ending, trials=count, seed=seed, red=red)
            for kind, count, red in (("guarded", trials, False), ("naive", controls, True))
            for ending in ENDINGS
        }
        result = _result(found, seed)
        if normal:
            topic = _topic(running.kafka_address)
            result["normal"] = normal_cost(running.kafka_address, topic, transactions=NORMAL[0], rounds=NORMAL[1])
        if relay:
            result["relay"] = r7_relay.run(trials=controls, seed=seed, stack=running)
            result["relay_control"] = r7_relay.run(trials=3, seed=seed, stack=running, saboteur=True)
            result["against"] += [] if result["relay"]["passed"] else ["relay"]
            result["against"] += [] if result["relay_control"]["anomalies"] else ["relay_control_red"]
            result["passed"] = not result["against"]
    return result | {"seconds": round(time.monotonic() - started, 1)}


def trials_of(bootstrap: str, kind: str, ending: str, *, trials: int, seed: int, red: bool = False) -> Outcome:
    """The trials of one kind of producer and one ending, on topics of their own, with a reader beside them.

    With `red`, as often again until one hurts: of six, none did once. When a stale frame comes is the machine's choice.
    """
    chance, outcome = random.Random(f"{seed} {ending}"), Outcome(Counter())
    while outcome.trials < trials * (RED_TRIES if red and not outcome.anomalies() else 1):
        topic, ledger = _topic(bootstrap), list[Written]()
        reader = Reader(bootstrap, topic)
        with KafkaProxy(bootstrap, seed=seed) as proxy:
            for number in counted(f"R7 {kind} {ending}", trials):
                ledger += _trial(proxy, f"{topic}-{number}", topic, (kind, ending), number, chance, outcome)
        outcome.counts += judge(reader.finish(), ledger)
        outcome.trials += trials
    return outcome


def _trial(
    proxy: KafkaProxy, name: str, topic: str, variant: tuple[str, str], number: int, chance: random.Random,
    outcome: Outcome,
) -> Sequence[Written]:  # fmt: skip
    kind, ending = variant
    cut: Cut = chance.choice(["reset", "reset", "close", ""])
    late = number % RANDOM_EVERY == RANDOM_EVERY - 1
    for rule in stale_end(name, ending, cut=cut, late=late):
        proxy.add(rule)
    settings = {"bootstrap.servers": proxy.address, "socket.timeout.ms": SOCKET_TIMEOUT_MS}
    writer = Writer(KINDS[kind], settings, name, topic, name)
    writer.transaction("commit", size=PARTITIONS)
    writer.transaction(ending, size=PARTITIONS)
    # What hurts most: a stale commit before an abort, a stale abort before a commit.
    other = "commit" if ending == "abort" else "abort"
    writer.transaction(ending if number % LIKE_EVERY == LIKE_EVERY - 1 else other, size=chance.randint(3, 9))
    deadline = time.monotonic() + LATE_MS / 1_000 + 10
    while proxy.found(f"{name} stale", "answered") is None and time.monotonic() < deadline:
        writer.transaction(chance.choice(ENDINGS), size=chance.randint(3, 9))
    writer.transaction("commit", size=PARTITIONS)
    writer.close()
    answer = proxy.found(f"{name} stale", "answered")
    outcome.frames[answer.error if answer else "never sent"] += 1
    outcome.rebuilds += writer.rebuilds
    silent = kind == "guarded" and not writer.rebuilds and not writer.errors
    if silent and not cut and _held(proxy, f"{name} stale") < INNOCENT_SECONDS:
        outcome.innocent += 1
    else:
        outcome.missed += silent
    outcome.errors.update(error.replace(name, "id") for error in writer.errors)
    return writer.ledger


def _held(proxy: KafkaProxy, rule: str) -> float:
    """Seconds for which a frame was held back."""
    struck, released = proxy.found(rule, "struck"), proxy.found(rule, "released")
    return released.seconds - struck.seconds if struck and released else float("inf")


def stale_end(transactional_id: str, ending: str, *, cut: Cut, late: bool) -> list[Rule]:
    """The second transaction's EndTxn is held back; by which time it is released."""
    ends = Frames("EndTxn", transactional_id=transactional_id, committed=ending == "commit")
    stale, nth = f"{transactional_id} stale", 2 if ending == "commit" else 1
    if late:
        return [Rule(stale, ends, Hold(Elapsed(0, LATE_MS), cut), nth=nth)]
    adds = Frames("AddPartitionsToTxn", transactional_id=transactional_id)
    return [
        Rule(stale, ends, Hold(Seen(adds, nth=2), cut), nth=nth),
        Rule(f"{transactional_id} rest", adds, Hold(Answered(stale)), nth=2, after=stale),
    ]


def _topic(bootstrap: str) -> str:
    name = f"r7-{uuid.uuid4().hex[:10]}"
    KafkaBroker({"bootstrap.servers": bootstrap}).create_topic(TopicDescription(name, PARTITIONS, {}))
    return name


def _result(found: dict[str, Outcome], seed: int) -> dict[str, Any]:
    guarded = [outcome for name, outcome in found.items() if name.startswith("guarded")]
    naive = [outcome for name, outcome in found.items() if name.startswith("naive")]
    total = sum(outcome.trials for outcome in guarded)
    counts = {name: sum(outcome.counts[name] for outcome in guarded) for name in COUNTS}
    rebuilds = sorted(number for outcome in guarded for number in outcome.rebuilds)
    asked = {
        "none_missed": not any(outcome.missed for outcome in guarded),
        "all_sent": not any(outcome.frames["never sent"] for outcome in guarded),
        "control_red": all(outcome.anomalies() for outcome in naive),
    }
    against = [name for name in COUNTS if counts[name]] + [name for name, right in asked.items() if not right]
    return {
        "id": "R7",
        "trials": total,
        **counts,
        "order_breaks": 0,  # of the plain writer; the relay's are counted in its own part
        "control_trials": sum(outcome.trials for outcome in naive),
        "control_anomalies": sum(outcome.anomalies() for outcome in naive),
        "upper_bound_95_percent": round(3 / total, 4) if total else 1.0,
        "rebuild_ms": {"count": len(rebuilds), "p50": _at(rebuilds, 0.5), "p95": _at(rebuilds, 0.95)},
        "parts": {name: outcome.report() for name, outcome in found.items()},
        "seed": seed,
        "against": against,
        "passed": not against,
    }


def _at(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else 0.0
