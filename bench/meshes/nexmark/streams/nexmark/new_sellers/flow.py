"""Query 8: persons who signed up and opened auctions within the same ten seconds."""

from headwater import Stream, col, lit, maximum, total, tumbling


def flow(openings: Stream, sign_ups: Stream) -> Stream:
    """One record per such person and window, and again when they open more."""
    sold = openings.select(person=col("seller"), full_name=lit(""), signed=lit(0), opened=lit(1))
    signed = sign_ups.select("person", "full_name", signed=lit(1), opened=lit(0))
    both = sold.union(signed).aggregate(
        by=["person"],
        window=tumbling("10s"),
        full_name=maximum("full_name"),
        signed=total("signed"),
        auctions=total("opened"),
    )
    return both.filter((col("signed") > 0) & (col("auctions") > 0))
