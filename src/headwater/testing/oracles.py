"""Slow, plain references for the engine: the whole input, sorted lists, no state. They share no code with it.

A *history* is a list of records (dicts with the platform's fields) in the order of its topic for each key. A *snapshot*
is everything that is true of a product as known at one instant: identity to value. From snapshots at all ticks' ends
follows the exact log that a product must hold, since it writes what differs from one tick's end to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Identity = tuple[Any, ...]
Snapshot = dict[Identity, Any]


def events_as_of(history: Iterable[Record], recorded_at: int) -> list[Record]:
    """The events that are known at an instant: of each event the highest revision recorded by then, if not retracted.

    >>> first = {"event_id": "a", "recorded_at": 1, "revision": 1, "kind": "assert", "n": 5}
    >>> second = {**first, "recorded_at": 9, "revision": 2, "n": 7}
    >>> [record["n"] for record in events_as_of([first, second], 8)]
    [5]
    """
    newest: dict[Any, Record] = {}
    for record in history:
        if record["recorded_at"] <= recorded_at:
            known = newest.get(record["event_id"])
            if known is None or record["revision"] > known["revision"]:
                newest[record["event_id"]] = record
    return [record for record in newest.values() if record["kind"] != "retract"]


def exploded(records: Iterable[Record], field: str) -> list[dict[str, Any]]:
    """A record for each element of an array: the element in place of the array, its place as `position`.

    >>> [(row["event_id"], row["tags"]) for row in exploded([{"event_id": "a", "tags": ["x", "y"]}], "tags")]
    [('a:0', 'x'), ('a:1', 'y')]
    """
    rows = []
    for record in records:
        for place in range(len(record[field] or [])):
            name = str(record["event_id"]) + ":" + str(place)
            rows.append({**record, "event_id": name, field: record[field][place], "position": place})
    return rows


def united(inputs: Mapping[str, Iterable[Record]]) -> list[dict[str, Any]]:
    """Records of several products, by their names; ids and a field `input` say whose each is.

    >>> [(row["event_id"], row["input"]) for row in united({"a.x": [{"event_id": "1"}], "a.y": [{"event_id": "1"}]})]
    [('a.x/1', 'a.x'), ('a.y/1', 'a.y')]
    """
    rows = []
    for name, records in inputs.items():
        for record in records:
            whose = {"event_id": "/".join([name, str(record["event_id"])])} if "event_id" in record else {}
            rows.append({**record, **whose, "input": name})
    return rows


def paired(
    left: Iterable[Record], right: Iterable[Record], *, on: str, distance: int, take: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A record for each pair with one value of a field that occurred so near: the left's, with fields of the right.

    >>> one, two = {"event_id": "a", "k": 1, "occurred_at": 5}, {"event_id": "b", "k": 1, "occurred_at": 9, "n": 7}
    >>> [(row["event_id"], row["n"]) for row in paired([one], [two], on="k", distance=4, take={"n": "n"})]
    [('a&b', 7)]
    """
    rows = []
    others = list(right)
    for one in left:
        for two in others:
            near = -distance <= two["occurred_at"] - one["occurred_at"] <= distance
            if one[on] is not None and one[on] == two[on] and near:
                pair = {"event_id": str(one["event_id"]) + "&" + str(two["event_id"])}
                rows.append({**one, **pair, **{name: two[of] for name, of in take.items()}})
    return rows


def state_at(events: Iterable[Record], valid_at: int) -> Record | None:
    """Of the events that have occurred by an instant the last, by instant and id; None where there is none.

    >>> [state_at([{"event_id": "a", "occurred_at": 5}], at) is None for at in (4, 5)]
    [True, False]
    """
    occurred = [event for event in events if event["occurred_at"] <= valid_at]
    return max(occurred, key=lambda event: (event["occurred_at"], event["event_id"]), default=None)


def latest_log(
    known: Callable[[int], Iterable[Record]],
    recorded: Iterable[int],
    *,
    tick: int,
    by: Callable[[Record], Identity],
    value: Callable[[Record], Any],
    order: Callable[[Identity], Any],
) -> list[dict[str, Any]]:
    """The log of events as states: at each tick's end the pieces between neighbouring instants whose state differs.

    `known` are the events known at an instant, `value` what a state says (None: nothing). Entries are as in
    `expected_log`; a kind follows from what was last said of its very interval.
    """
    log: list[dict[str, Any]] = []
    said: dict[Identity, tuple[int, str]] = {}
    before: list[Record] = []
    for end in sorted({(instant // tick + 1) * tick - 1 for instant in recorded}):
        after = list(known(end))
        pieces: dict[Identity, tuple[Any, Any]] = {}
        for key in {by(event) for event in [*before, *after]}:
            old = [event for event in before if by(event) == key]
            new = [event for event in after if by(event) == key]
            instants = sorted({event["occurred_at"] for event in [*old, *new]})
            for start, until in zip(instants, [*instants[1:], None], strict=True):
                was, now = state_at(old, start), state_at(new, start)
                pieces[key, start, until] = was and value(was), now and value(now)
        for identity in sorted((identity for identity, (was, now) in pieces.items() if was != now), key=order):
            was, now = pieces[identity]
            revision, last = said.get(identity, (0, "retract"))
            kind = "retract" if now is None else "assert" if last == "retract" else "correct"
            said[identity] = (revision + 1, kind)
            entry = {"identity": identity, "value": was if now is None else now, "kind": kind}
            log.append({**entry, "revision": revision + 1, "recorded_at": end})
        before = after
    return log


def grid_as_of(history: Iterable[Record], key: Sequence[str], recorded_at: int) -> list[Record]:
    """The facts of a grid that are known at an instant: as for events, with key and interval in place of the id."""
    named = [
        {**record, "event_id": (*(record[name] for name in key), record["valid_from"], record["valid_to"])}
        for record in history
    ]
    return [
        {name: value for name, value in fact.items() if name != "event_id"} for fact in events_as_of(named, recorded_at)
    ]


def fact_as_of(
    history: Iterable[Record], key: Mapping[str, Any], valid_at: int | None, recorded_at: int
) -> Record | None:
    """The fact of a key that holds at `valid_at`, as known at `recorded_at`; None where none does.

    Of the records that cover the instant the last in order speaks, and a retract says that there is nothing. Repeats
    and superseded revisions of a key and interval say nothing.

    >>> one = {"p": "P", "valid_from": 0, "valid_to": None, "recorded_at": 1, "revision": 1, "kind": "assert"}
    >>> one["seats"] = 149
    >>> two = {**one, "valid_from": 40, "recorded_at": 60, "seats": 144}
    >>> [fact_as_of([one, two], {"p": "P"}, valid, known)["seats"] for valid, known in ((50, 59), (50, 60), (20, 60))]
    [149, 144, 149]
    """
    revisions: dict[Identity, int] = {}
    answer: Record | None = None
    for record in history:
        if record["recorded_at"] > recorded_at or any(record[name] != value for name, value in key.items()):
            continue
        interval = (record["valid_from"], record["valid_to"])
        if record["revision"] <= revisions.get(interval, 0):
            continue
        revisions[interval] = record["revision"]
        if valid_at is not None and interval[0] <= valid_at and (interval[1] is None or valid_at < interval[1]):
            answer = None if record["kind"] == "retract" else record
    return answer


def aggregate_as_of(
    records: Iterable[Record],
    *,
    group: Callable[[Record], Identity],
    interval: Callable[[Record], tuple[int, int | None]],
    value: Callable[[list[Record]], Any],
) -> Snapshot:
    """Fold what is known: identity is (group, valid_from, valid_to); groups without members are not there."""
    members: dict[Identity, list[Record]] = {}
    for record in records:
        members.setdefault((group(record), *interval(record)), []).append(record)
    return {identity: value(group_members) for identity, group_members in members.items()}


def sessions_as_of(
    records: Iterable[Record],
    *,
    group: Callable[[Record], Identity],
    gap: int,
    value: Callable[[list[Record]], Any],
) -> Snapshot:
    """Fold what is known over sessions: of each group all records in order, cut wherever one is `gap` or more behind.

    Identity is (group, the first's instant, the last's and the gap).

    >>> rows = [{"k": "a", "occurred_at": at} for at in (9, 0, 4)]
    >>> sessions_as_of(rows, group=lambda row: (row["k"],), gap=5, value=len)
    {(('a',), 0, 9): 2, (('a',), 9, 14): 1}
    """
    known = sorted(records, key=lambda record: record["occurred_at"])
    snapshot: Snapshot = {}
    for key in sorted({group(record) for record in known}):
        runs: list[list[Record]] = []
        for record in known:
            if group(record) == key:
                if not runs or record["occurred_at"] - runs[-1][-1]["occurred_at"] >= gap:
                    runs.append([])
                runs[-1].append(record)
        for run in runs:
            snapshot[(key, run[0]["occurred_at"], run[-1]["occurred_at"] + gap)] = value(run)
    return snapshot


def edge_of(records: Iterable[Record], name: str, order: Sequence[str], *, last: bool = False) -> Any:
    """The value of a field in the first (or last) record that has one, in the order of these fields; None if none has.

    >>> edge_of([{"at": 2, "n": 7}, {"at": 1, "n": None}, {"at": 3, "n": 9}], "n", ["at"])
    7
    """
    known = [record for record in records if record[name] is not None]
    known.sort(key=lambda record: tuple(record[part] for part in order), reverse=last)
    return known[0][name] if known else None


def rolling_as_of(
    records: Iterable[Record],
    *,
    group: Callable[[Record], Identity],
    length: int,
    every: int,
    value: Callable[[list[Record]], Any],
) -> Snapshot:
    """Fold what is known over the last `length`, every so often: for each step, those of the time that ends with it.

    Identity is (group, start of the step, end of the step).

    >>> rows = [{"k": "a", "occurred_at": 3}, {"k": "a", "occurred_at": 12}]
    >>> rolling_as_of(rows, group=lambda row: (row["k"],), length=20, every=10, value=len)
    {(('a',), 0, 10): 1, (('a',), 10, 20): 2, (('a',), 20, 30): 1}
    """
    known = list(records)
    instants = [record["occurred_at"] for record in known]
    snapshot: Snapshot = {}
    end = min(instants, default=0) // every * every
    while end <= max(instants, default=0) + length + every:
        for key in sorted({group(record) for record in known}):
            members = [
                record for record in known if group(record) == key and end - length <= record["occurred_at"] < end
            ]
            if members:
                snapshot[(key, end - every, end)] = value(members)
        end += every
    return snapshot


def expected_log(
    snapshot: Callable[[int], Snapshot], recorded: Iterable[int], *, tick: int, order: Callable[[Identity], Any]
) -> list[dict[str, Any]]:
    """The log that a product which ticks must hold: one entry for each identity and tick whose value changed, sorted.

    `snapshot` says what is true as known at an instant, `recorded` are the recorded times of all inputs, `order` is
    what identities of one tick are sorted by. Entries have identity, value, kind, revision and recorded_at.

    >>> known = {999: {("a",): 1}, 1999: {("a",): 2}, 2999: {}}
    >>> log = expected_log(known.get, [5, 1_003, 2_500], tick=1_000, order=lambda identity: identity)
    >>> [(entry["kind"], entry["revision"], entry["value"], entry["recorded_at"]) for entry in log]
    [('assert', 1, 1, 999), ('correct', 2, 2, 1999), ('retract', 3, 2, 2999)]
    """
    log: list[dict[str, Any]] = []
    revisions: dict[Identity, int] = {}
    before: Snapshot = {}
    for end in sorted({(instant // tick + 1) * tick - 1 for instant in recorded}):
        after = snapshot(end)
        for identity in sorted({*before, *after}, key=order):
            old, new = before.get(identity), after.get(identity)
            if old == new:
                continue
            kind = "assert" if old is None else "retract" if new is None else "correct"
            revisions[identity] = revisions.get(identity, 0) + 1
            log.append(
                {
                    "identity": identity,
                    "value": old if new is None else new,
                    "kind": kind,
                    "revision": revisions[identity],
                    "recorded_at": end,
                }
            )
        before = after
    return log
