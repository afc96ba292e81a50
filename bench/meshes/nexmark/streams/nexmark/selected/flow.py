"""Query 2: the bids on every 123rd auction."""

from headwater import Stream, col

EVERY = 123


def flow(bids: Stream) -> Stream:
    """One record per bid that is selected."""
    return bids.filter(col("auction_number") % EVERY == 0).select("auction", "price")
