"""What a Kafka client's error means to a caller: away, fenced, missing, refused, or a fault.

The client's own error object is read by its name only, so that this module, and who imports it, needs no client.
"""

from __future__ import annotations

import logging
from typing import Any

from headwater.errors import CallerFault, Fault, HeadwaterError, Unreachable

FENCED = frozenset(
    {
        "_FENCED",
        "PRODUCER_FENCED",
        "INVALID_PRODUCER_EPOCH",
        "FENCED_INSTANCE_ID",
        "ILLEGAL_GENERATION",
        "UNKNOWN_MEMBER_ID",
        "TRANSACTION_COORDINATOR_FENCED",
        "REBALANCE_IN_PROGRESS",
        "_ASSIGNMENT_LOST",
        "_MAX_POLL_EXCEEDED",
    }
)
# The name is the member's own still; its partitions went to another, as they do when members come, go or are slow.
REASSIGNED = frozenset(
    {"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "_ASSIGNMENT_LOST", "_MAX_POLL_EXCEEDED"}
)
MISSING = frozenset({"_NOENT", "UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})
OUT_OF_RANGE = frozenset({"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE", "_NO_OFFSET"})
# The client knows an older leader than the cluster has: asked again with fresh metadata, the same call works.
MOVED = frozenset(
    {
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
        "NOT_LEADER_FOR_PARTITION",
        "LEADER_NOT_AVAILABLE",
        "BROKER_NOT_AVAILABLE",
        "REPLICA_NOT_AVAILABLE",
        "KAFKA_STORAGE_ERROR",
    }
)
AWAY = frozenset(
    {
        "_TRANSPORT",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_MSG_TIMED_OUT",
        "_WAIT_COORD",
        "_WAIT_CACHE",
        "_RETRY",
        "REQUEST_TIMED_OUT",
        "NETWORK_EXCEPTION",
        "NOT_COORDINATOR",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "UNSTABLE_OFFSET_COMMIT",
        "NOT_ENOUGH_REPLICAS",
        "NOT_CONTROLLER",
        "INVALID_REPLICATION_FACTOR",  # said by a cluster that starts: brokers that are fenced do not count
    }
)
TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_MSG_SIZE", "RECORD_LIST_TOO_LARGE"})


def kafka_log() -> logging.Logger:
    """Where the client library logs: silent until somebody gives it a handler, since errors are raised anyway."""
    log = logging.getLogger("headwater.kafka")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return log


def broker_away(bootstrap: str, why: str = "") -> Unreachable:
    """The one message for a broker that does not answer."""
    return Unreachable(
        f"Kafka does not answer at {bootstrap}",
        code="HW-R001",
        detail=why,
        hint="start it (on one machine: headwater up), or mend the address in mesh.yaml; then call again",
    )


def topic_missing(topic: str) -> CallerFault:
    """The one message for a topic that nobody has created."""
    return CallerFault(
        f"the topic {topic} does not exist",
        code="HW-R004",
        detail="nothing but `apply` creates topics",
        hint="headwater apply",
    )


def fenced(who: str, why: str = "") -> CallerFault:
    """Another writer or reader took the place of this one."""
    return CallerFault(
        f"{who} was replaced by another of the same name",
        code="HW-R003",
        detail=why
        or "of two writers with one transactional id, or two members with one member id, the newer one stays",
        hint="see that only one process runs for it, then start it again",
    )


def reassigned(error: HeadwaterError) -> bool:
    """Whether this `fenced` only tells of partitions that went elsewhere, and not of another with the same name."""
    return error.detail in REASSIGNED


def offset_missing(place: str) -> Fault:
    """A reader stands where the log no longer, or not yet, is."""
    return Fault(
        f"{place}: the offset to read from is not in the log, or no offset is known",
        code="HW-R005",
        detail="going on from another place would lose or repeat records",
        hint="look whether retention removed records that were never read, or whether the topic was made anew",
    )


def mapped(error: Any, *, doing: str, bootstrap: str) -> HeadwaterError:
    """The error of Headwater for a `KafkaError`; `doing` is the call it came from."""
    name = str(error.name())
    place = f"{doing}: {name}"
    if name == "_FATAL" and "fenced" in str(error.str()).lower():
        name = "_FENCED"
    if name == "_ALL_BROKERS_DOWN" or name == "_RESOLVE":
        return broker_away(bootstrap, place)
    if name in FENCED:
        return fenced(doing, name)
    if name in MISSING:
        return CallerFault(
            f"{doing}: a topic or partition does not exist",
            code="HW-R004",
            detail="nothing but `apply` creates topics",
            hint="headwater apply",
        )
    if name in OUT_OF_RANGE:
        return offset_missing(doing)
    if name in TOO_LARGE:
        return CallerFault(
            f"{doing}: the broker refuses a record of this size",
            code="HW-R008",
            hint="raise max.message.bytes of the topic, or make the record smaller",
        )
    if "AUTHORIZATION" in name or "AUTHENTICATION" in name:
        return CallerFault(
            f"{doing}: Kafka at {bootstrap} refuses this ({name})",
            code="HW-R006",
            hint="give the principal the right: docs/concepts/secure-road.md lists who needs which",
        )
    if error.retriable() or error.txn_requires_abort() or name in AWAY or name in MOVED:
        return Unreachable(
            place, code="HW-R002", detail="nothing of this transaction is visible unless the broker says so"
        )
    return Fault(place, code="HW-R007", detail=str(error.str()))
