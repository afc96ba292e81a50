"""W5's queries as Flink has them: columns that are read, columns that are written, a SELECT; for `systems/flink.py`.

Avro's fields are found by name, so that only what a query needs is decoded. Instants are microseconds in a BIGINT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Sql(NamedTuple):
    """A query; `key`: its output's records are kept by these, none: it only adds records, partitioned by the first."""

    columns: Sequence[str]
    output: str
    query: str
    partition_by: str
    key: Sequence[str] = ()


def _columns(*names: str) -> str:
    """Columns that are never null: texts, and numbers where `#` stands before the name; `?` where null may be."""
    made = []
    for name in names:
        type_ = "BIGINT" if "#" in name else "STRING"
        made.append(f"{name.strip('#?')} {type_}{'' if '?' in name else ' NOT NULL'}")
    return ", ".join(made)


_BID = _columns("event_id", "auction", "bidder", "#price", "#occurred_at")

FLINK: Mapping[str, Sql] = {
    "q1": Sql(
        [_BID],
        _columns("event_id", "auction", "bidder", "#price_milli_euros", "#occurred_at"),
        "SELECT event_id, auction, bidder, price * 908, occurred_at FROM in0",
        "auction",
    ),
    "q2": Sql(
        [_columns("event_id", "auction", "#auction_number", "#price", "#occurred_at")],
        _columns("event_id", "auction", "#price", "#occurred_at"),
        "SELECT event_id, auction, price, occurred_at FROM in0 WHERE MOD(auction_number, 123) = 0",
        "auction",
    ),
    "q3": Sql(
        [
            _columns("event_id", "seller", "auction", "#category", "#occurred_at"),
            _columns("person", "full_name", "city", "state"),
        ],
        _columns("event_id", "seller", "auction", "#occurred_at", "?full_name", "?city", "?state"),
        """SELECT o.event_id, o.seller, o.auction, o.occurred_at, p.full_name, p.city, p.state
        FROM in0 AS o JOIN in1 AS p ON o.seller = p.person
        WHERE o.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
        "seller",
    ),
    "q8": Sql(
        [_columns("seller", "#occurred_at"), _columns("person", "full_name", "#occurred_at")],
        _columns("person", "#valid_from", "#?valid_to", "?full_name", "#auctions"),
        """SELECT person, valid_from, CAST(NULL AS BIGINT), MAX(full_name), SUM(opened) FROM (
          SELECT seller AS person, occurred_at - MOD(occurred_at, 10000000) AS valid_from,
            '' AS full_name, 0 AS signed, CAST(1 AS BIGINT) AS opened FROM in0
          UNION ALL
          SELECT person, occurred_at - MOD(occurred_at, 10000000), full_name, 1, CAST(0 AS BIGINT) FROM in1
        ) GROUP BY person, valid_from HAVING SUM(signed) > 0 AND SUM(opened) > 0""",
        "person",
        ("person", "valid_from"),
    ),
    "q17": Sql(
        [_columns("auction", "#price", "#occurred_at")],
        ", ".join(
            [
                _columns("auction", "#valid_from", "#?valid_to", "#bids", "#low_bids", "#middle_bids", "#high_bids"),
                _columns("#?least", "#?most", "#price"),
            ]
        ),
        """SELECT auction, occurred_at - MOD(occurred_at, 86400000000), CAST(NULL AS BIGINT), COUNT(*),
          COUNT(*) FILTER (WHERE price < 10000),
          COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000),
          COUNT(*) FILTER (WHERE price >= 1000000), MIN(price), MAX(price), SUM(price)
        FROM in0 GROUP BY auction, occurred_at - MOD(occurred_at, 86400000000)""",
        "auction",
        ("auction", "valid_from"),
    ),
    "q18": Sql(
        [_BID],
        _columns("bidder", "auction", "#price", "#occurred_at"),
        """SELECT bidder, auction, price, occurred_at FROM (
          SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY occurred_at DESC, event_id DESC) AS place
          FROM in0
        ) WHERE place = 1""",
        "bidder",
        ("bidder", "auction"),
    ),
    "q20": Sql(
        [_BID, _columns("auction", "seller", "#category")],
        _columns("event_id", "auction", "bidder", "#price", "#occurred_at", "?seller", "#?category"),
        """SELECT b.event_id, b.auction, b.bidder, b.price, b.occurred_at, a.seller, a.category
        FROM in0 AS b JOIN in1 AS a ON b.auction = a.auction WHERE a.category = 10""",
        "auction",
    ),
}
