"""The catalogue of metrics: every name with its kind, labels and meaning; the reference page is made from it.

Prefix `headwater_`, base units, the unit as suffix; counters end in `_total`. Labels are bounded: never a key or an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `happening` is what is announced for it, `amount` the field that counts; empty: each counts one."""

    name: str
    kind: Literal["counter", "histogram"]
    labels: tuple[str, ...]
    happening: str
    amount: str
    meaning: str


METRICS = (
    Metric(
        "headwater_relay_records_total",
        "counter",
        ("source",),
        "relay.committed",
        "records",
        "Outbox rows that a relay published or set aside, in committed Kafka transactions.",
    ),
    Metric(
        "headwater_relay_columnar_records_total",
        "counter",
        ("source",),
        "relay.committed",
        "columnar",
        "Those of the records that were encoded as columns; the others took the row road, which costs more.",
    ),
    Metric(
        "headwater_relay_transactions_total",
        "counter",
        ("source",),
        "relay.committed",
        "transactions",
        "Database transactions among them.",
    ),
    Metric(
        "headwater_relay_commit_seconds",
        "histogram",
        ("source",),
        "relay.committed",
        "seconds",
        "How long a relay took from a batch's encoding to its commit.",
    ),
    Metric(
        "headwater_relay_waiting_total",
        "counter",
        ("source", "code"),
        "relay.waiting",
        "",
        "How often a relay could not go on and tried again, by the code of the reason.",
    ),
    Metric(
        "headwater_relay_failed_total",
        "counter",
        ("source", "code"),
        "relay.failed",
        "",
        "Relays that ended for a reason that waiting does not mend; other sources of the process go on.",
    ),
    Metric(
        "headwater_relay_skipped_rows_total",
        "counter",
        ("source",),
        "relay.skipped",
        "rows",
        "Rows that the database sent again after a restart and that were published already.",
    ),
    Metric(
        "headwater_relay_loaded_rows_total",
        "counter",
        ("source", "product"),
        "relay.loaded",
        "rows",
        "Rows that a captured table had already and that were published.",
    ),
    Metric(
        "headwater_relay_quarantined_records_total",
        "counter",
        ("product", "code"),
        "relay.quarantined",
        "",
        "Outbox rows that did not fit their contract.",
    ),
    Metric(
        "headwater_relay_parked_rows_total",
        "counter",
        ("product",),
        "relay.parked",
        "",
        "Outbox rows that wait, since an earlier one of their key is in quarantine.",
    ),
    Metric(
        "headwater_relay_resolved_rows_total",
        "counter",
        ("product", "outcome"),
        "relay.resolved",
        "",
        "What became of rows in quarantine: repaired, released, discarded, or refused again.",
    ),
    Metric(
        "headwater_stage_records_total",
        "counter",
        ("product", "stage"),
        "stage.committed",
        "records",
        "Records that a stage wrote, in committed transactions; of the last stage: the product's.",
    ),
    Metric(
        "headwater_stage_commit_seconds",
        "histogram",
        ("product", "stage"),
        "stage.committed",
        "seconds",
        "How long a stage's commit took, outputs and state included.",
    ),
    Metric(
        "headwater_stage_quarantined_records_total",
        "counter",
        ("product", "stage", "code"),
        "stage.quarantined",
        "",
        "Input records that could not be decoded or processed.",
    ),
    Metric(
        "headwater_stage_rebuilt_total",
        "counter",
        ("product", "stage", "code"),
        "stage.rebuilt",
        "",
        "How often a stage dropped its clients after a doubt and built new ones.",
    ),
    Metric(
        "headwater_stage_restored_entries_total",
        "counter",
        ("product", "stage"),
        "stage.restored",
        "entries",
        "State entries that were read back from a changelog.",
    ),
    Metric(
        "headwater_producer_rebuilt_total",
        "counter",
        ("reason",),
        "producer.rebuilt",
        "",
        "How often a guarded producer took a new epoch after a slow or doubtful commit.",
    ),
)


def page() -> str:
    """The reference page, as Markdown rows."""
    rows = [
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.meaning} |" for m in METRICS
    ]
    return "\n".join(["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |", *rows])
