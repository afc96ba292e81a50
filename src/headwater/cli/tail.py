"""`headwater tail`: read a product's records."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from headwater.ports.protocol import Broker
    from headwater.ports.record import Message


def command(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="Its name, as airports.hourly_punctuality.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Stop after so many; 0: no limit.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="At the end wait for more.")] = False,
    from_end: Annotated[
        bool, typer.Option("--from-end/--from-beginning", help="Start at the end, or at the beginning.")
    ] = False,
    key: Annotated[str | None, typer.Option("--key", help="Only records of this Kafka key.")] = None,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Its quarantine: reasons, without values.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", help="How to print a record.")] = "text",
) -> None:
    """Print decoded records of a product's topic, oldest first in each partition; stops at the end or at the limit.

    Instants are ISO 8601 in UTC with microseconds. JSON is one object a line. Reads committed records only, as a
    reader outside every group: nothing is remembered, nobody else is disturbed.
    """
    import contextlib

    from headwater.cli import console
    from headwater.mesh.load import load_mesh
    from headwater.naming import ProductName, quarantine_topic
    from headwater.ports.kafka import KafkaBroker
    from headwater.settings import environment_of, load_settings

    settings = load_settings()
    name = ProductName.parse(product)
    mesh = load_mesh(settings.mesh_folder)
    resolved = mesh.product(name)
    environment = environment_of(settings, mesh.file)
    broker = KafkaBroker(environment.kafka)
    topic = quarantine_topic(name, resolved.major) if quarantine else resolved.output.topic
    show = _letters() if quarantine else _records(environment.registry_url, resolved.output.subject)
    wanted = None if key is None else key.encode()
    printed = 0
    try:
        with contextlib.closing(_messages(broker, topic, follow=follow, from_end=from_end)) as messages:
            for message in messages:
                if wanted is not None and message.key != wanted:
                    continue
                console.record(show(message), output)
                printed += 1
                if limit and printed >= limit:
                    break
    except KeyboardInterrupt:
        pass


def _messages(broker: Broker, topic: str, *, follow: bool, from_end: bool) -> Generator[Message, None, None]:
    """Messages in order of arrival; a poll's are sorted by time, so that partitions read as one."""
    from headwater.ports.reading import places_of
    from headwater.ports.record import Message, TopicPartition

    places = places_of(broker, topic)
    left = set(places)
    reader = broker.reader(broker.ends(places) if from_end else broker.starts(places))
    try:
        while left or follow:
            polled = reader.poll(2_000, 0.2)
            found = [item for item in polled if isinstance(item, Message)]
            left -= {TopicPartition(item.topic, item.partition) for item in polled if not isinstance(item, Message)}
            yield from sorted(found, key=lambda message: message.timestamp)
    finally:
        reader.close()


def _records(registry_url: str, subject: str) -> Any:
    """A function from a message to a record as JSON has it. Schemas by id, each asked for once."""
    from headwater.errors import Misfit
    from headwater.schemas.codec import RowCodec, unframe
    from headwater.schemas.payload import to_json
    from headwater.schemas.registry_http import HttpRegistry

    registry = HttpRegistry(registry_url)
    codecs: dict[int, RowCodec] = {}

    def show(message: Message) -> dict[str, object]:
        try:
            schema_id, body = unframe(message.value)
            codec = codecs.get(schema_id)
            if codec is None:
                codec = codecs[schema_id] = RowCodec(registry.by_id(schema_id).schema)
            shown: dict[str, object] = to_json(codec.schema, codec.decode(body))
        except Misfit as error:  # one record that cannot be read must not hide the others
            return {"partition": message.partition, "offset": message.offset, "unreadable": error.code}
        return shown

    return show


def _letters() -> Any:
    """A function from a quarantined message to its reasons. Its value stays where it is: it may be personal."""
    from headwater.ports.quarantine import PREFIX

    def show(message: Message) -> dict[str, object]:
        reasons = {
            name.removeprefix(PREFIX): value.decode() for name, value in message.headers if name.startswith(PREFIX)
        }
        return {"partition": message.partition, "offset": message.offset, **reasons}

    return show
