"""Query 3: auctions of one category with their sellers, those of three states."""

from headwater import Stream, col

CATEGORY = 10
STATES = ("OR", "ID", "CA")


def flow(openings: Stream, persons: Stream) -> Stream:
    """One record per auction of that category by a person of those states."""
    wanted = openings.filter(col("category") == CATEGORY).select("seller", "auction")
    taken = {"full_name": "full_name", "city": "city", "state": "state"}
    return wanted.join_as_of(persons, on={"seller": "person"}, take=taken).filter(col("state").is_in(STATES))
