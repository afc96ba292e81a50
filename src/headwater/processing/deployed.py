"""What is known of a product's live Flink job: a record beside the product, in its control topic, for every machine.

One key holds the newest word. Whoever changes it takes the transactional id that is kept for this, reads what stands
there, and writes: of two who do so at once, one is refused by the broker. So a product gets one job, from one machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from headwater import naming
from headwater.errors import CallerFault, HeadwaterError
from headwater.naming import ProductName
from headwater.ports.protocol import Broker
from headwater.ports.reading import places_of, read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.processing.commands import OPEN_MS, fields_of, fits
from headwater.timeline.clock import Clock

JOB_KEY = b"job/flink"
TEXT_LIMIT = 2_000  # letters: of addresses, folders and ids
_NUMBERS = ("at", "every", "checkpoint")
_REPLACED = "HW-R003"


@dataclass(frozen=True, slots=True)
class Deployed:
    """A live job, as it was last written down: `at`, in microseconds by the clock of who wrote it.

    `cluster` is the address of its JobManager, `job` its id there, empty until it is known, and `called` the name that
    no other job has. `fits` tells jobs apart whose kept state is not the same. `folder` holds its checkpoints and
    savepoints, as the cluster sees it. One in a process of its own lies on `host`, under `data_folder` there; one
    elsewhere was submitted by `gateway`, in `session`, with `jars`. `checkpoint` is the newest that is known;
    `every` are the seconds from one to the next.
    """

    at: int
    called: str
    fits: str
    cluster: str = ""
    job: str = ""
    folder: str = ""
    host: str = ""
    data_folder: str = ""
    gateway: str = ""
    session: str = ""
    jars: tuple[str, ...] = ()
    every: int = 10
    checkpoint: int = 0
    savepoint: str = ""
    ended: Literal["", "stopped", "gone"] = ""

    @property
    def place(self) -> str:
        """Where it runs: a savepoint that was made there can be read there."""
        return self.gateway or f"{self.host}:{self.data_folder}"


def encode(deployed: Deployed) -> bytes:
    """The value of its record.

    >>> decode(encode(Deployed(5, "a.b.v1-flink-live-7", "c0ffee", cluster="http://flink:8081"))).cluster
    'http://flink:8081'
    """
    return json.dumps(asdict(deployed), ensure_ascii=False).encode()


def decode(value: bytes | None) -> Deployed | None:
    """The job that a record's value holds; None where it is none.

    >>> decode(b'{"at": "yesterday"}') is None
    True
    """
    held = fields_of(value)
    if held is None:
        return None
    known = {name: held[name] for name in Deployed.__dataclass_fields__ if name in held}
    jars = known.pop("jars", [])
    numbers = [known.get(name, 0) for name in _NUMBERS]
    texts = [one for name, one in known.items() if name not in _NUMBERS]
    if not isinstance(jars, list) or not all(type(one) is int and 0 <= one < 1 << 62 for one in numbers):
        return None
    if not all(isinstance(one, str) and (one == "" or fits(one, TEXT_LIMIT)) for one in [*texts, *jars]):
        return None
    if not {"at", "called", "fits"} <= known.keys() or known.get("ended", "") not in ("", "stopped", "gone"):
        return None
    return Deployed(**known, jars=tuple(jars))  # type: ignore[arg-type]  # each was looked at


def recorded(broker: Broker, topics: Sequence[str]) -> dict[str, Deployed]:
    """The newest word about a job in each of these control topics; a topic that is missing has none."""
    known = broker.describe(list(topics))
    places = [TopicPartition(topic, 0) for topic in topics if topic in known]
    found: dict[str, Deployed] = {}
    for item in read_to_end(broker, broker.starts(places)):
        if isinstance(item, Message) and item.key == JOB_KEY and (said := decode(item.value)) is not None:
            found[item.topic] = said
    return found


def change(
    broker: Broker, product: ProductName, major: int, decide: Callable[[Deployed | None], Deployed], *, clock: Clock
) -> Deployed:
    """Write down what `decide` makes of what stands there, as of now, unless another does so meanwhile.

    What `decide` raises is raised, and nothing is written; `CallerFault` HW-P252 where another was quicker.
    """
    topic = naming.control_topic(product, major)
    places_of(broker, topic)  # one that is missing is said as that
    sink = broker.sink(naming.control_transactional_id(product, major, "flink"), timeout_ms=OPEN_MS)
    try:
        sink.open()
        made = replace(decide(recorded(broker, [topic]).get(topic)), at=int(clock.now()))
        sink.begin()
        sink.send(topic, JOB_KEY, encode(made), timestamp=max(0, made.at) // 1_000, partition=0)
        sink.commit()
    except HeadwaterError as error:
        if error.code != _REPLACED:
            raise
        raise taken(str(product), "another command is about to start or end it") from None
    finally:
        sink.close()
    return made


def taken(product: str, why: str) -> CallerFault:
    """A live job has the product."""
    return CallerFault(
        f"{product}: a live Flink job has it",
        code="HW-P252",
        detail=why,
        hint=f"headwater runner flink stop {product} ends it, on any machine that reaches its cluster",
    )
