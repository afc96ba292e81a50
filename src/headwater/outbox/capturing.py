"""What a relay does more for a captured table: load what is there already, then stream changes through the mappings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from headwater.errors import CallerFault
from headwater.hooks import Hooks
from headwater.mesh.products import ResolvedProduct
from headwater.naming import ProductName
from headwater.outbox.batching import Limits
from headwater.outbox.capture_session import CapturedSession, Member, TableKey
from headwater.outbox.capture_store import CaptureStore
from headwater.outbox.load_state import key_order
from headwater.outbox.loading import CHUNK, Loading, begun, pending
from headwater.outbox.mapper import Mapper
from headwater.outbox.mapping_file import LoadedMapping, load_mapping
from headwater.outbox.position import Position
from headwater.outbox.segment import Batch
from headwater.outbox.store import OutboxSession
from headwater.timeline.clock import Clock


@dataclass(frozen=True, slots=True)
class Serving:
    """What a relay lends to a load: how it publishes a batch, and what it was given itself."""

    publish: Callable[[Batch], None]
    tick: int
    clock: Clock
    hooks: Hooks
    failpoint: Callable[[str], None]
    limits: Limits


class Capturing:
    """The captured side of one source: `mappings` are those of its products."""

    def __init__(
        self,
        source: str,
        table: str,
        store: CaptureStore,
        products: Sequence[ResolvedProduct],
        mappings: Mapping[ProductName, LoadedMapping],
    ) -> None:
        self._source = source
        self._table = table
        self._store = store
        self._products = tuple(products)
        self._mappings = mappings
        self._fingerprints = {str(name): mappings[name].fingerprint for name in sorted(mappings)}

    @classmethod
    def of_files(cls, source: str, table: str, store: CaptureStore, products: Sequence[ResolvedProduct]) -> Capturing:
        """With the `mapping.py` of each product; raises `InvalidFiles` where one cannot be read."""
        mappings = {product.name: load_mapping(product) for product in products}
        return cls(source, table, store, products, mappings)

    def begin(
        self, session: OutboxSession, position: Position, serving: Serving, stopping: Callable[[], bool]
    ) -> tuple[OutboxSession, Position]:
        """Load what is to be loaded; the session to stream from then, and the position to begin at.

        Raises `CallerFault` HW-O156 where a mapping was changed while a transaction is published in part.
        """
        key = self._store.key()
        mappers = [
            Mapper(
                product,
                self._mappings[product.name].function,
                source=self._source,
                system_id=position.system_id,
                key=key.names,
            )
            for product in self._products
        ]
        before = position.capture.mappings if position.capture is not None else {}
        if position.partial and any(self._fingerprints.get(name) != text for name, text in before.items()):
            raise CallerFault(
                f"{self._source}: a mapping was changed while a large transaction is published in part",
                code="HW-O156",
                detail="nobody can tell which of the new mapping's records stand for those that are published",
                hint="put the mapping back as it was until the relay is beyond that transaction, then change it",
            )
        position = replace(position, capture=begun(mappers, position, self._fingerprints))
        assert position.capture is not None
        waiting = pending(mappers, position.capture)
        if waiting and not position.partial:
            loading = Loading(
                source=self._source,
                table=self._table,
                store=self._store,
                publish=serving.publish,
                tick=serving.tick,
                clock=serving.clock,
                hooks=serving.hooks,
                failpoint=serving.failpoint,
                limits=Limits(min(serving.limits.rows, CHUNK.rows), min(serving.limits.bytes, CHUNK.bytes)),
            )
            for mapper in waiting:
                position = loading.load(mapper, key.names, position, stopping)
            waiting = []
        assert position.capture is not None
        table_key = TableKey(key.names, key_order(key.types))
        members = [
            Member(mapper, position.capture.of(mapper.product.output.topic), table_key)
            for mapper in mappers
            if mapper not in waiting
        ]
        return CapturedSession(session, self._table, members, position, again=bool(waiting)), position
