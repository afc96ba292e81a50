"""Query 1: the price of each bid in another currency, exactly: thousandths stay whole numbers."""

from headwater import Stream, col

MILLI_EUROS = 908


def flow(bids: Stream) -> Stream:
    """One record per bid."""
    return bids.select("auction", "bidder", price_milli_euros=col("price") * MILLI_EUROS)
