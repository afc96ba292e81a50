"""Query 20: bids with their auctions, those of one category."""

from headwater import Stream, col

CATEGORY = 10


def flow(bids: Stream, auctions: Stream) -> Stream:
    """One record per bid on an auction of that category."""
    joined = bids.select("auction", "bidder", "price").join_as_of(
        auctions, on={"auction": "auction"}, take={"seller": "seller", "category": "category"}
    )
    return joined.filter(col("category") == CATEGORY)
