"""Query 17: statistics of each auction, day by day; its average is the sum by the count."""

from headwater import Stream, col, count, maximum, minimum, total, tumbling, when

MIDDLE = 10_000
HIGH = 1_000_000


def flow(bids: Stream) -> Stream:
    """One record per auction, day and tick in which its bids changed."""
    ranked = bids.map(
        low=when(col("price") < MIDDLE).then(1).otherwise(0),
        middle=when((col("price") >= MIDDLE) & (col("price") < HIGH)).then(1).otherwise(0),
        high=when(col("price") >= HIGH).then(1).otherwise(0),
    )
    return ranked.aggregate(
        by=["auction"],
        window=tumbling("1d"),
        bids=count(),
        low_bids=total("low"),
        middle_bids=total("middle"),
        high_bids=total("high"),
        least=minimum("price"),
        most=maximum("price"),
        price=total("price"),
    )
