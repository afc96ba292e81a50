"""`headwater.outbox_of`: records collected beside a SQLAlchemy session, emitted by its transaction's own commit."""

from __future__ import annotations

from headwater.outbox.emit_sqlalchemy import SessionOutbox, outbox_of_session
from headwater.sdk.emit import resolved_product


def outbox_of(session: object) -> SessionOutbox:
    """The outbox of a SQLAlchemy `Session` (of an `AsyncSession`: its `sync_session`): what is added is emitted when
    the session commits, in that transaction and in the order in which it was added.

    What is added within a savepoint goes with it: rolled back, it is never emitted. What the roll-back of the whole
    transaction leaves behind is dropped.

        with Session(engine) as session:
            session.add(order)
            headwater.outbox_of(session).add("shop.orders", lambda: {"order_id": order.id, ...})
            session.commit()
    """
    return outbox_of_session(session, resolved_product)
