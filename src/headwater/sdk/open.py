"""`headwater.open`: a product by its name, to be asked what it says as of any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from headwater.errors import CallerFault
from headwater.mesh.load import load_mesh
from headwater.mesh.products import ResolvedProduct
from headwater.ports.answers import Answer, Question, TopicAnswers
from headwater.ports.feed import Feed, Feeds
from headwater.ports.kafka import KafkaBroker
from headwater.ports.protocol import Broker
from headwater.schemas.registry import Registry
from headwater.schemas.registry_http import HttpRegistry
from headwater.sdk.table import Table, table_of
from headwater.settings import environment_of, load_settings
from headwater.timeline.instant import Instant

if TYPE_CHECKING:
    from headwater.ports.lake.answers import LakeAnswers

Moment = str | int | datetime | Instant
Key = str | int | Mapping[str, object]


class OpenProduct:
    """A product that can be read. Make one with `headwater.open`.

    A moment is ISO 8601 text with a zone, a datetime with a zone, or whole microseconds since 1970. A key is a mapping
    of the key fields, or the value itself where there is one key field.
    """

    def __init__(
        self,
        product: ResolvedProduct,
        broker: Broker,
        registry: Registry,
        *,
        tick: int,
        lake: LakeAnswers | None = None,
    ) -> None:
        self.product = product
        self.schema = product.output.schema if lake is None else lake.schema
        self._broker = broker
        self._answers = lake or TopicAnswers(broker, registry, product, tick=tick)
        self._feeds = Feeds(broker, registry, product)

    def as_of(self, *, valid: Moment | None = None, recorded: Moment | None = None, key: Key | None = None) -> Table:
        """What the product says is true at `valid`, as known at `recorded`; of one key or of all.

        Left out, `valid` means whenever and `recorded` means now. The answer's rows are records as the codec has them:
        instants in microseconds. `answer.settled` says whether the same question has this answer for ever;
        `answer.to_arrow()`, `to_pandas()` and `to_polars()` give it as columns.
        """
        answer = self._answers.as_of(Question(instant_of(valid), instant_of(recorded), self._key(key)))
        return self._table(answer)

    async def as_of_async(
        self, *, valid: Moment | None = None, recorded: Moment | None = None, key: Key | None = None
    ) -> Table:
        """As `as_of`, beside an event loop."""
        return await asyncio.to_thread(self.as_of, valid=valid, recorded=recorded, key=key)

    def history(self, key: Key | None = None, *, recorded: Moment | None = None) -> Table:
        """Every record of a key, or of all, as it was published: what was said, and how it was corrected."""
        return self._table(self._answers.history(Question(None, instant_of(recorded), self._key(key))))

    async def history_async(self, key: Key | None = None, *, recorded: Moment | None = None) -> Table:
        """As `history`, beside an event loop."""
        return await asyncio.to_thread(self.history, key, recorded=recorded)

    def tail(self, after: str = "end") -> Feed:
        """The records that come from now on; or those after a feed's `cursor`, or from the `start` of the topic.

        with product.tail() as feed:
            for record in feed:            # or: async for; or feed.poll(wait=0.5)
                print(record, feed.cursor)
        """
        return self._feeds.tail(after)

    def bootstrap(self, *, recorded: Moment | None = None) -> tuple[Table, Feed]:
        """All that is known as of a settled recorded moment, and the feed of all that was recorded after it.

        No record is missing between the two, and none is in both. Left out, the moment is the newest settled one.
        Raises `CallerFault` HW-R021 where it is not settled yet.
        """
        answer, feed = self._feeds.bootstrap(instant_of(recorded))
        return table_of(answer, self.product.output.schema), feed

    async def bootstrap_async(self, *, recorded: Moment | None = None) -> tuple[Table, Feed]:
        """As `bootstrap`, beside an event loop."""
        return await asyncio.to_thread(self.bootstrap, recorded=recorded)

    def close(self) -> None:
        """Let go of the connections."""
        self._broker.close()

    def __enter__(self) -> OpenProduct:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _table(self, answer: Answer) -> Table:
        return table_of(answer, self.schema)

    def _key(self, key: Key | None) -> tuple[object, ...] | None:
        if key is None:
            return None
        names = self.product.output.output.key
        values = key if isinstance(key, Mapping) else {names[0]: key}
        if set(values) != set(names):
            raise CallerFault(
                f"a key of {self.product.name} is {', '.join(names)}, not {', '.join(map(str, values)) or 'nothing'}",
                code="HW-K060",
                detail="a key is asked for whole",
                hint=f"give {' and '.join(names)}",
            )
        return tuple(values[name] for name in names)


def open(name: str, *, port: Literal["topic", "lake"] = "topic") -> OpenProduct:
    """A product of the mesh of the settings (`HEADWATER_MESH`, else the nearest `mesh.yaml` upward), to be read.

        with headwater.open("airports.hourly_punctuality") as product:
            answer = product.as_of(valid="2013-01-05T14:00Z", recorded="2013-01-05T16:00Z", key="JFK")
            print(answer.rows, answer.settled)

    With `port="lake"` answers and histories come from the product's table, up to where it has read the topic; feeds and
    snapshots that go on as feeds come from the topic by every port.

    Raises `CallerFault` where the mesh has no such product, `Unreachable` where its broker or registry is away.
    """
    settings = load_settings()
    mesh = load_mesh(settings.mesh_folder)
    product = mesh.product(name)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    lake = None
    if port == "lake":
        from headwater.sdk.lake import lake_answers  # and Arrow with it

        lake = lake_answers(product, environment)
    return OpenProduct(product, broker, HttpRegistry(environment.registry_url), tick=mesh.file.tick, lake=lake)


def instant_of(moment: Moment | None) -> Instant | None:
    """A moment as it was given, as an instant."""
    if moment is None or isinstance(moment, Instant):
        return moment
    if isinstance(moment, datetime):
        return Instant.from_datetime(moment)
    return Instant.parse(moment) if isinstance(moment, str) else Instant(moment)
