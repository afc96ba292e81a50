"""The newest progress mark of each partition, as it lies beside a product's topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.ports.progress import decode_mark
from headwater.ports.protocol import Broker
from headwater.ports.reading import read_to_end
from headwater.ports.record import Message, TopicPartition
from headwater.timeline.instant import Instant

_TAIL = 500  # offsets at the end of the marks' topic: the newest mark of a partition is among them


def newest_marks(broker: Broker, product: ResolvedProduct, numbers: Sequence[int]) -> Mapping[int, tuple[Instant, int]]:
    """`through` and `offset` of the newest mark of these partitions; one without a mark is left out."""
    topic = naming.progress_topic(product.name, product.major)
    if topic not in broker.describe([topic]):
        return {}
    places = [TopicPartition(topic, number) for number in numbers]
    starts, ends = broker.starts(places), broker.ends(places)
    newest: dict[int, tuple[Instant, int]] = {}
    for item in read_to_end(broker, {place: max(starts[place], ends[place] - _TAIL) for place in places}):
        if isinstance(item, Message) and item.value is not None:
            newest[item.partition] = decode_mark(item.value)
    return newest
