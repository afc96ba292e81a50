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
    broker: Broker, stage: Stage, output: str, place: TopicPartition, store: RocksStore, end: int
) -> Replay | None:
    """The log of an output's partition, up to `end`, where its state was begun anew though the log has records.

    Raises `CallerFault` where the inputs no longer hold all that the log came from.
    """
    if not end:
        return None
    said = store.get(said_key(output))
    if said is None and store.get(FORM_KEY) is not None:
        return None
    replay = Replay(broker, place, int(said or broker.starts([place])[place]), end)
    if replay.over:
        return None if said is None else replay
    return replay if said is not None else _of_whole(replay, broker, stage, place)


def replay_without_state(broker: Broker, stage: Stage, place: TopicPartition, end: int) -> Replay | None:
    """The same where a stage keeps no state and its group has committed nothing, though the log has records: another
    runner wrote them, or the group's offsets have expired. Its offsets are not committed before the log is told to its
    end, for nothing else would tell a successor how far it was.
    """
    if not end:
        return None
    replay = Replay(broker, place, int(broker.starts([place])[place]), end)
    return None if replay.over else _of_whole(replay, broker, stage, place)


def _of_whole(replay: Replay, broker: Broker, stage: Stage, place: TopicPartition) -> Replay:
    inputs = [(one.topic, stage.partitions) for one in stage.inputs if one.product is not None]
    try:
        require_whole([*inputs, (place.topic, stage.partitions)], broker)
    except CallerFault:
        replay.close()
        raise
    return replay
