"""Query 18: the last bid of each bidder on each auction, as a state over valid time."""

from headwater import Stream


def flow(bids: Stream) -> Stream:
    """What a bidder's bid on an auction was, until the next one."""
    return bids.select("bidder", "auction", "price").latest(by=["bidder", "auction"])
