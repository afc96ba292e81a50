"""Whether an output is made anew from its inputs, so that what its topic says already must not be said again."""

from __future__ import annotations

from headwater.errors import CallerFault
from headwater.ports.protocol import Broker
from headwater.ports.record import TopicPartition
from headwater.processing.replay import Replay, said_key
from headwater.processing.reset import require_whole
from headwater.processing.state_rocksdb import RocksStore
from headwater.processing.steps import FORM_KEY, Stage


def replay_of(
    broker: Broker, stage: Stage, output: str, place: TopicPartition, store: RocksStore | None, end: int
) -> Replay | None:
    """The log of an output's partition, up to `end`, where its state was begun anew though the log has records.

    Raises `CallerFault` where the inputs no longer hold all that the log came from.
    """
    if store is None or not end:
        return None
    said = store.get(said_key(output))
    if said is None and store.get(FORM_KEY) is not None:
        return None
    replay = Replay(broker, place, int(said or broker.starts([place])[place]), end)
    if replay.over:
        return None if said is None else replay
    if said is None:
        inputs = [(one.topic, stage.partitions) for one in stage.inputs if one.product is not None]
        try:
            require_whole([*inputs, (place.topic, stage.partitions)], broker)
        except CallerFault:
            replay.close()
            raise
    return replay
