"""Folds over sessions, each with its history and its answer by the oracle.

Clicks of few users lie about a gap apart, so that one that comes, moves or goes makes two sessions of one, or one of
two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from headwater.processing.expressions import col
from headwater.processing.flow import Stream, average, count, count_distinct, first, fold, last, maximum, minimum, total
from headwater.processing.windows import session, tumbling
from headwater.testing.conformance.fold_cases import enter, leave
from headwater.testing.conformance.runner_cases import NULLABLE, Case, Histories, small
from headwater.testing.harness import product
from headwater.testing.oracles import (
    Record,
    Snapshot,
    aggregate_as_of,
    edge_of,
    events_as_of,
    fact_as_of,
    sessions_as_of,
)
from headwater.testing.strategies import event_histories, fact_histories

GAP = 6
SPAN = 20
CLICKS = product(
    "web.clicks",
    shape="event",
    key=["click"],
    fields={"click": "string", "user": "string", "page": ["null", "string"], "pause": NULLABLE, "number": "long"},
)
ROOMS = product("web.rooms", shape="fact", key=["user"], fields={"user": "string", "room": NULLABLE})
clicks = event_histories(
    {
        "user": st.sampled_from(["ann", "bob"]),
        "page": st.sampled_from(["a", "b", None]),
        "pause": st.one_of(st.none(), small),
        "number": small,
    },
    key="click",
    events=8,
    length=24,
    occurred=st.integers(0, 36),
)
rooms = fact_histories({"room": st.one_of(st.none(), small)}, key="user", keys=["ann", "bob"])
TRIED = st.fixed_dictionaries({CLICKS.topic: clicks})
Measured = Callable[[list[Record]], dict[str, Any]]


def sessions_of(histories: Histories, at: int, measured: Measured, *, by: str = "user", least: int = -99) -> Snapshot:
    """The sessions that are known at an instant, by the oracle; `least` leaves out clicks of lesser numbers."""
    known = [event for event in events_as_of(histories[CLICKS.topic], at) if event["number"] >= least]
    folded = sessions_as_of(known, group=lambda event: (event[by],), gap=GAP, value=measured)
    return {
        (key, start, end): {by: key[0], "valid_from": start, "valid_to": end, **value}
        for (key, start, end), value in folded.items()
    }


def _pauses(run: list[Record]) -> dict[str, Any]:
    pauses = [event["pause"] for event in run if event["pause"] is not None]
    return {
        "clicks": len(run),
        "known": len(pauses),
        "pause": sum(pauses) if pauses else None,
        "least": min(pauses, default=None),
        "worst": max(pauses, default=None),
        "mean": sum(pauses) / len(pauses) if pauses else None,
    }


def _folded(stream: Stream, by: str) -> Stream:
    return stream.aggregate(
        by=[by],
        window=session(f"{GAP}us"),
        clicks=count(),
        known=count("pause"),
        pause=total("pause"),
        least=minimum("pause"),
        worst=maximum("pause"),
        mean=average("pause"),
    )


PAUSES = {"clicks": "long", "known": "long", "pause": NULLABLE, "least": NULLABLE, "worst": NULLABLE}
VISITS = product(
    "web.visits", shape="fact", key=["user"], fields={"user": "string", **PAUSES, "mean": ["null", "double"]}
)
SESSIONS = Case(
    "a fold over sessions",
    lambda stream: _folded(stream.filter(col("number") >= 0), "user"),
    (CLICKS,),
    VISITS,
    TRIED,
    lambda histories, at: sessions_of(histories, at, _pauses, least=0),
    moving=True,
)

OWN = product(
    "web.own_visits", shape="fact", key=["click"], fields={"click": "string", **PAUSES, "mean": ["null", "double"]}
)
OWN_SESSIONS = Case(
    "a fold over sessions by the input's own key",
    lambda stream: _folded(stream, "click"),
    (CLICKS,),
    OWN,
    TRIED,
    lambda histories, at: sessions_of(histories, at, _pauses, by="click"),
    moving=True,
)

TEXT = ["null", "string"]
PAGES = product(
    "web.pages",
    shape="fact",
    key=["user"],
    fields={"user": "string", "pages": "long", "entered": TEXT, "left": TEXT, "middle": NULLABLE},
)


def _pages(run: list[Record]) -> dict[str, Any]:
    order = ("occurred_at", "event_id")
    pauses = sorted(event["pause"] for event in run if event["pause"] is not None)
    return {
        "pages": len({event["page"] for event in run} - {None}),
        "entered": edge_of(run, "page", order),
        "left": edge_of(run, "page", order, last=True),
        "middle": pauses[len(pauses) // 2] if pauses else None,
    }


def _middle(state: dict[str, Any]) -> int | None:
    known = state["all"]
    return known[len(known) // 2] if known else None


SESSION_ENDS = Case(
    "the first, last, different and middle of sessions",
    lambda stream: stream.aggregate(
        by=["user"],
        window=session(f"{GAP}us"),
        pages=count_distinct("page"),
        entered=first("page"),
        left=last("page"),
        middle=fold(
            {"all": []},
            enter,
            leave,
            _middle,
            of=["pause"],
            state={"all": {"type": "array", "items": "long"}},
            type=NULLABLE,
        ),
    ),
    (CLICKS,),
    PAGES,
    TRIED,
    lambda histories, at: sessions_of(histories, at, _pages),
    moving=True,
)

SPANS = product("web.spans", shape="fact", key=["user"], fields={"user": "string", "visits": "long", "longest": "long"})


def _spans(histories: Histories, at: int) -> Snapshot:
    folded = aggregate_as_of(
        sessions_of(histories, at, _pauses).values(),
        group=lambda visit: (visit["user"],),
        interval=lambda visit: (visit["valid_from"] // SPAN * SPAN, visit["valid_from"] // SPAN * SPAN + SPAN),
        value=lambda visits: (len(visits), max(visit["clicks"] for visit in visits)),
    )
    return {
        (key, start, end): {"user": key[0], "valid_from": start, "valid_to": end, "visits": visits, "longest": longest}
        for (key, start, end), (visits, longest) in folded.items()
    }


SESSIONS_FOLDED = Case(
    "how many sessions, and the longest",
    lambda stream: stream.aggregate(by=["user"], window=session(f"{GAP}us"), name="visits", clicks=count()).aggregate(
        by=["user"], window=tumbling(f"{SPAN}us"), visits=count(), longest=maximum("clicks")
    ),
    (CLICKS,),
    SPANS,
    TRIED,
    _spans,
)

PLACED = product(
    "web.placed", shape="fact", key=["user"], fields={"user": "string", "clicks": "long", "room": NULLABLE}
)


def _placed(histories: Histories, at: int) -> Snapshot:
    placed = {}
    for identity, visit in sessions_of(histories, at, lambda run: {"clicks": len(run)}).items():
        room = fact_as_of(histories[ROOMS.topic], {"user": visit["user"]}, visit["valid_from"], at)
        placed[identity] = {**visit, "room": room["room"] if room else None}
    return placed


SESSIONS_JOINED = Case(
    "sessions, joined",
    lambda stream, facts: stream.aggregate(by=["user"], window=session(f"{GAP}us"), clicks=count()).join_as_of(
        facts, on={"user": "user"}, take={"room": "room"}
    ),
    (CLICKS, ROOMS),
    PLACED,
    st.fixed_dictionaries({CLICKS.topic: clicks, ROOMS.topic: rooms}),
    _placed,
    moving=True,
)

SESSION_CASES = (SESSIONS, OWN_SESSIONS, SESSION_ENDS, SESSIONS_FOLDED, SESSIONS_JOINED)
