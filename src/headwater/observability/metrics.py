"""The catalogue of metrics: every name with its kind, labels and meaning; the reference page is made from it.

Prefix `headwater_`, base units, the unit as suffix; counters end in `_total`. Labels are bounded: never a key or an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `happening` is what is announced for it, `amount` the field that counts; empty: each counts one.

    A gauge shows the last amount that was announced, a histogram how amounts spread.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
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
        "headwater_relay_slot_readable",
        "gauge",
        ("source",),
        "relay.pulse",
        "readable",
        "1 where the replication slot can be read, 0 where it is gone or lost.",
    ),
    Metric(
        "headwater_relay_slot_retained_bytes",
        "gauge",
        ("source",),
        "relay.pulse",
        "retained_bytes",
        "Bytes of the database's write-ahead log that the slot holds back.",
    ),
    Metric(
        "headwater_relay_waiting_rows",
        "gauge",
        ("source",),
        "relay.pulse",
        "waiting_rows",
        "Rows created since the commit that was published last; an estimate: it sees no older transaction.",
    ),
    Metric(
        "headwater_relay_waiting_seconds",
        "gauge",
        ("source",),
        "relay.pulse",
        "waiting_seconds",
        "How far the topics are behind the database, by its clock: the age of the commit that was published last, "
        "while rows wait; else 0.",
    ),
    Metric(
        "headwater_relay_oldest_waiting_seconds",
        "gauge",
        ("source",),
        "relay.pulse",
        "oldest_seconds",
        "Age of the oldest row that waits; 0 where none does.",
    ),
    Metric(
        "headwater_relay_partitions",
        "gauge",
        ("source",),
        "relay.pulse",
        "partitions",
        "Partitions of the outbox table.",
    ),
    Metric(
        "headwater_relay_alarms_total",
        "counter",
        ("source",),
        "relay.retaining",
        "",
        "How often a slot came to hold back more of the database's log than is stated.",
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
        "headwater_stage_folded_records_total",
        "counter",
        ("product", "stage"),
        "stage.committed",
        "folded",
        "Records that a stage folded, in committed transactions: those that said something new.",
    ),
    Metric(
        "headwater_stage_columnar_records_total",
        "counter",
        ("product", "stage"),
        "stage.committed",
        "columnar",
        "Those of them that were folded as columns; the others took the row road, which costs more.",
    ),
    Metric(
        "headwater_stage_repeated_records_total",
        "counter",
        ("product", "stage"),
        "stage.committed",
        "repeats",
        "Records that say again what a stage knows, and change nothing.",
    ),
    Metric(
        "headwater_stage_superseded_records_total",
        "counter",
        ("product", "stage"),
        "stage.committed",
        "superseded",
        "Records of which a stage knows a higher revision already: they came too late to change anything.",
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
        "headwater_stage_batch_limit_inputs",
        "gauge",
        ("product", "stage"),
        "stage.committed",
        "limit",
        "How many inputs the next transaction of a stage takes at most: fewer after one that took too long.",
    ),
    Metric(
        "headwater_stage_too_slow_total",
        "counter",
        ("product", "stage"),
        "stage.too_slow",
        "",
        "Transactions that took longer than they may, were aborted and tried again with fewer inputs.",
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
        "headwater_stage_restore_seconds",
        "histogram",
        ("product", "stage"),
        "stage.restored",
        "seconds",
        "How long a partition waited for its state; partitions that are gained together are read together.",
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
        "headwater_stage_restore_left_entries",
        "gauge",
        ("product", "stage", "partition"),
        "stage.restoring",
        "left",
        "Offsets of the changelog that are still to be read before a partition goes on; 0 once its state is back.",
    ),
    Metric(
        "headwater_stage_held_bytes",
        "gauge",
        ("product", "stage"),
        "stage.holding",
        "bytes",
        "Bytes of input, as it came, that a stage holds in memory and has not committed.",
    ),
    Metric(
        "headwater_stage_waiting_partitions",
        "gauge",
        ("product", "stage"),
        "stage.holding",
        "paused",
        "Partitions of inputs that stand still, since they are ahead of another input and too much is held.",
    ),
    Metric(
        "headwater_stage_cleared_offsets_total",
        "counter",
        ("product", "stage"),
        "stage.cleared",
        "offsets",
        "Offsets of rekey topics that were deleted, since the stage that reads them has committed them.",
    ),
    Metric(
        "headwater_faust_lag_records",
        "gauge",
        ("product", "topic"),
        "faust.lag",
        "records",
        "Offsets of a topic that are committed, and that a Faust application has not handed over to its stages.",
    ),
    Metric(
        "headwater_faust_stalled_total",
        "counter",
        ("product", "what"),
        "faust.stalled",
        "",
        "How often a Faust application stood still without an error and was ended: its loop, its group, a stage, an "
        "agent of the user's own. Each is an alarm.",
    ),
    Metric(
        "headwater_stage_copied_entries_total",
        "counter",
        ("product", "stage"),
        "stage.copied",
        "entries",
        "State entries of others' partitions that a standby copied.",
    ),
    Metric(
        "headwater_product_paused",
        "gauge",
        ("product",),
        "product.told",
        "paused",
        "1 where a derived product is told to stand still, 0 once it is told to go on.",
    ),
    Metric(
        "headwater_product_misdirected_total",
        "counter",
        ("product",),
        "product.misdirected",
        "",
        "Records of a control topic that are no commands and were passed over.",
    ),
    Metric(
        "headwater_product_failed_total",
        "counter",
        ("product", "code"),
        "product.failed",
        "",
        "Derived products that ended for a reason that waiting does not mend; others of the process go on.",
    ),
    Metric(
        "headwater_lake_records_total",
        "counter",
        ("table",),
        "lake.committed",
        "records",
        "Records that became visible in a table of the lake.",
    ),
    Metric(
        "headwater_lake_commit_seconds",
        "histogram",
        ("table",),
        "lake.committed",
        "seconds",
        "How long a writer of the lake took to write files and to commit them.",
    ),
    Metric(
        "headwater_lake_unreadable",
        "gauge",
        ("table",),
        "lake.committed",
        "unreadable",
        "Values that could not be decoded and that a table was told to pass over, since its beginning.",
    ),
    Metric(
        "headwater_lake_waiting_total",
        "counter",
        ("table", "code"),
        "lake.waiting",
        "",
        "How often a writer of the lake could not go on and tried again, by the code of the reason.",
    ),
    Metric(
        "headwater_lake_failed_total",
        "counter",
        ("table", "code"),
        "lake.failed",
        "",
        "Writers of the lake that ended for a reason that waiting does not mend; other tables of the process go on.",
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
