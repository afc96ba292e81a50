"""Orders per customer and hour, however late they come."""

from headwater import Stream, count, total, tumbling


def flow(orders: Stream) -> Stream:
    """One record per customer, hour and tick in which an order of that hour came."""
    return orders.aggregate(by=["customer"], window=tumbling("1h"), orders=count(), amount_cents=total("amount_cents"))
