"""Every metric of the catalogue is made of something that is announced, and counts it."""

from __future__ import annotations

import re

from headwater.hooks import HAPPENINGS
from headwater.observability.metrics import METRICS
from headwater.observability.prometheus import PrometheusListener


def test_metrics_are_made_of_what_is_announced_and_of_fields_that_it_has() -> None:
    for metric in METRICS:
        said = HAPPENINGS[metric.happening].rsplit(": ", 1)[1].split(", ")
        assert {*metric.labels, metric.amount} - {""} <= set(said), metric.name


UNITS = (
    "_bytes", "_rows", "_records", "_seconds", "_readable", "_unreadable", "_partitions", "_entries", "_inputs",
    "_paused", "_running", "_stopped",
)  # fmt: skip


def test_names_follow_prometheus() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"headwater_[a-z_]+", metric.name)
        if metric.kind == "gauge":
            assert metric.name.endswith(UNITS), metric.name
        else:
            assert metric.name.endswith("_total" if metric.kind == "counter" else "_seconds")


def test_a_scrape_shows_what_was_announced() -> None:
    listener = PrometheusListener()
    for _ in range(2):
        said = {"source": "db.t", "records": 5, "columnar": 4, "transactions": 2, "recorded_at": 1, "seconds": 0.1}
        listener("relay.committed", said)
    listener("relay.quarantined", {"product": "a.b", "code": "HW-S001"})
    listener("relay.skipped", {"source": "db.t", "rows": 3})
    pulse = {"source": "db.t", "readable": 1, "retained_bytes": 77, "waiting_rows": 4, "waiting_seconds": 2.5}
    listener("relay.pulse", {**pulse, "oldest_seconds": 1.5, "partitions": 9})
    listener(
        "relay.pulse", {**pulse, "retained_bytes": 70, "waiting_rows": None, "oldest_seconds": 0.5, "partitions": 9}
    )
    text = listener.text()
    assert 'headwater_relay_slot_retained_bytes{source="db.t"} 70.0' in text
    assert 'headwater_relay_waiting_rows{source="db.t"} 4.0' in text, "what is not known now stays as it was"
    assert 'headwater_relay_records_total{source="db.t"} 10.0' in text
    assert 'headwater_relay_commit_seconds_count{source="db.t"} 2.0' in text
    assert 'headwater_relay_quarantined_records_total{code="HW-S001",product="a.b"} 1.0' in text
    assert 'headwater_relay_skipped_rows_total{source="db.t"} 3.0' in text
    assert "headwater_build_info" in text
