"""Orders with what their customers were at the instant of the order."""

from headwater import Stream


def flow(orders: Stream, customers: Stream) -> Stream:
    """A corrected customer corrects its orders."""
    return orders.select("customer", "amount_cents").join_as_of(
        customers, on={"customer": "customer"}, take={"segment": "segment"}
    )
