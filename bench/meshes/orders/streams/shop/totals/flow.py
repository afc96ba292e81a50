"""A running count and sum per customer: one fact each, which holds for all time and is corrected by each order."""

from headwater import Stream, count, total, whole


def flow(orders: Stream) -> Stream:
    """One record per customer and tick in which an order came."""
    return orders.aggregate(by=["customer"], window=whole(), orders=count(), amount_cents=total("amount_cents"))
