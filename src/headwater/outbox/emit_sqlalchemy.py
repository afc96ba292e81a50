"""The door to SQLAlchemy: a session's own outbox, which its events empty into the transaction that commits.

What is added waits until the outermost commit and is emitted then in one go, in the order of adding: emitted earlier,
what was added before a savepoint would stand behind what was added in it. A record given as a function is made only
then, after the flush, when the database has given the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from headwater.errors import CallerFault
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.emission import Emission, EmitOptions
from headwater.outbox.emit_connection import write_rows
from headwater.outbox.emitter import events_of
from headwater.outbox.event import Kind

_KEY = "headwater.outbox"
_DEFAULT_OPTIONS = EmitOptions()
Resolve = Callable[[str | ResolvedProduct], ResolvedProduct]


@dataclass(slots=True)
class _Waiting:
    """A record that waits for a commit. `within` is the transaction or savepoint that it falls with."""

    within: SessionTransaction | None
    product: ResolvedProduct
    emission: Emission
    options: EmitOptions


class SessionOutbox:
    """What waits to be emitted by a session. Made by `headwater.outbox_of`."""

    def __init__(self, session: Session, resolve: Resolve) -> None:
        self._resolve = resolve
        self._waiting: list[_Waiting] = []
        self._released: set[SessionTransaction] = set()
        event.listen(session, "before_commit", self._commits)
        event.listen(session, "after_soft_rollback", self._rolled_back)
        event.listen(session, "after_transaction_end", self._ended)
        self._session = session

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._waiting)

    def add(
        self,
        product: str | ResolvedProduct,
        record: object,
        *,
        event_id: str | None = None,
        kind: Kind = "assert",
        revision: int = 1,
        key_version: int | None = None,
        options: EmitOptions = _DEFAULT_OPTIONS,
    ) -> None:
        """Emit this record when the session commits. `record` may be a function without arguments, called then.

        Raises as `headwater.emit` does, at once for a record that is given, and out of the commit for a function's.
        """
        resolved = self._resolve(product)
        emission = Emission(record, event_id=event_id, kind=kind, revision=revision, key_version=key_version)
        if not callable(record):
            events_of(resolved, [emission], options)
        session = self._session
        # As adding an object does, this begins the transaction where none is begun: a roll-back then drops the record.
        within = session.get_nested_transaction() or session.get_transaction() or session.begin()
        self._waiting.append(_Waiting(within, resolved, emission, options))

    def _commits(self, session: Session) -> None:
        nested = session.get_nested_transaction()
        if nested is not None:
            self._released.add(nested)
            return
        session.flush()
        waiting, self._waiting = self._waiting, []
        connection: Any = session
        for (product, options), emissions in _grouped(waiting):
            outbox = product.product.outbox
            events = events_of(product, emissions, options)
            assert outbox is not None  # events_of has checked it
            write_rows(connection, events, outbox.table, options.road)

    def _rolled_back(self, session: Session, transaction: SessionTransaction) -> None:
        self._released.discard(transaction)
        self._waiting = [one for one in self._waiting if one.within is not transaction]

    def _ended(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction in self._released:
            self._released.discard(transaction)
            for one in self._waiting:
                if one.within is transaction:
                    one.within = transaction.parent
        else:
            self._waiting = [one for one in self._waiting if one.within is not transaction]


def outbox_of_session(session: object, resolve: Resolve) -> SessionOutbox:
    """The one outbox of a session; raises `CallerFault` HW-O073 for what is no session."""
    if not isinstance(session, Session):
        raise CallerFault(
            f"outbox_of takes a Session of SQLAlchemy, not {type(session).__name__}",
            code="HW-O073",
            detail="its records are emitted by the commit of a session",
            hint="pass the session itself; of an AsyncSession its sync_session, of a scoped_session what a call gives",
        )
    found = session.info.get(_KEY)
    if not isinstance(found, SessionOutbox):
        found = session.info[_KEY] = SessionOutbox(session, resolve)
    return found


def _grouped(waiting: list[_Waiting]) -> list[tuple[tuple[ResolvedProduct, EmitOptions], list[object]]]:
    """Runs of one product and one set of options: the order of adding stays."""
    runs: list[tuple[tuple[ResolvedProduct, EmitOptions], list[object]]] = []
    for one in waiting:
        emission = one.emission
        if callable(emission.record):
            emission = Emission(
                emission.record(),
                event_id=emission.event_id,
                kind=emission.kind,
                revision=emission.revision,
                key_version=emission.key_version,
            )
        if runs and runs[-1][0][0] is one.product and runs[-1][0][1] == one.options:
            runs[-1][1].append(emission)
        else:
            runs.append(((one.product, one.options), [emission]))
    return runs
