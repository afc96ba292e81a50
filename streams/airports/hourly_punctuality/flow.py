"""Departures to the punctuality of each airport, hour by hour."""

from headwater import Stream, count, maximum, total, tumbling


def flow(departures: Stream) -> Stream:
    """Count and sum by airport and hour of departure; a late or corrected report corrects its hour."""
    return departures.aggregate(
        by=["origin"],
        window=tumbling("1h"),
        departures=count(),
        delay_minutes=total("delay_minutes"),
        worst_delay_minutes=maximum("delay_minutes"),
    )
