"""Arrivals to the performance of each route, day by day."""

from headwater import Stream, calendar, col, count, maximum, total, when

LATE_AFTER_MINUTES = 15  # as the United States' Department of Transportation counts


def flow(arrivals: Stream) -> Stream:
    """Count and sum by route and day of arrival (UTC)."""
    late = when(col("delay_minutes") > LATE_AFTER_MINUTES).then(1).otherwise(0)
    return arrivals.map(late=late).aggregate(
        by=["origin", "dest"],
        window=calendar("day", zone="UTC"),
        arrivals=count(),
        late_arrivals=total("late"),
        delay_minutes=total("delay_minutes"),
        worst_delay_minutes=maximum("delay_minutes"),
    )
