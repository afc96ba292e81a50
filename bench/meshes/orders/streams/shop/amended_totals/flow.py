"""A running count and sum per customer over orders that may be corrected or taken back."""

from headwater import Stream, count, total, whole


def flow(orders: Stream) -> Stream:
    """One record per customer and tick in which what it has ordered changed."""
    return orders.aggregate(by=["customer"], window=whole(), orders=count(), amount_cents=total("amount_cents"))
