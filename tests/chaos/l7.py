"""L7: what is personal must be nowhere in the lake: not in rows, statistics, dictionaries, footers or snapshots.

`run(trials=1, seed=1)`: records with tokens of 128 bits in personal fields; every file is searched raw, and Parquet
once more column by column. A control looks for the tokens that are not personal, and must find them.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.chaos import lakes

from headwater.ports.access import Access
from headwater.ports.lake.progress import Progress
from headwater.ports.lake.rows import LakeRows
from headwater.ports.lake.table import commit
from headwater.ports.record import Message
from headwater.timeline.instant import Instant

COUNT = 300


def run(*, trials: int = 1, seed: int = 1, saboteur: str = "") -> dict[str, Any]:
    """So many tables. The saboteur `open` lets everybody see everything."""
    started, product, hits, seen, scanned = time.monotonic(), lakes.secret_product(), 0, 0, 0
    for trial in range(trials):
        chance, access = random.Random(seed + trial), lakes.ACCESS[saboteur]()
        with lakes.shore(product, access) as folder:
            plain, secret = _fill(folder, chance, access)
            found = _searched(folder)
            scanned += len(found)
            hits += sum(token in found for token in secret)
            seen += sum(token in found for token in plain)
    counts = {"rows": seen, "lost": 0, "duplicates": 0, "phantom": 0, "order_breaks": 0, "files_twice": 0}
    return lakes.answer(
        "L7", seed, trials, counts, {"nothing_personal": not hits, "control_finds": seen == trials * COUNT},
        hits=hits, bytes=scanned, seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _fill(folder: Path, chance: random.Random, access: Access) -> tuple[list[bytes], list[bytes]]:
    product = lakes.secret_product()
    rows, table = LakeRows(product, access), lakes.lake(folder, access).table(product)
    plain, secret, records = list[bytes](), list[bytes](), list[tuple[Message, dict[str, Any]]]()
    for number in range(COUNT):
        known, email, street = (f"{chance.getrandbits(128):032x}" for _ in range(3))
        plain.append(known.encode())
        secret += [email.encode(), street.encode()]
        record = {"event_id": known, "customer": f"c{number % 7}", "occurred_at": number, "email": f"{email}@x.org",
                  "address": {"city": "Kiel", "street": street}, "recorded_at": number, "kind": "assert",
                  "revision": 1}  # fmt: skip
        records.append((Message(product.output.topic, 0, number, b"", b"", 0), record))
    progress = Progress(product.output.topic, "t", {0: COUNT}, {0: Instant(1)}, f"{chance.getrandbits(128):032x}", 1)
    commit(table, table.look(), table.write(rows.table(records, "t"), progress.commit), progress)
    return plain, secret


def _searched(folder: Path) -> bytes:
    """Every byte of every file, and every value of every column as it is decoded, statistics among them."""
    parts = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in sorted(folder.rglob("*.parquet")):
        parts += [str(pq.read_metadata(path).to_dict()).encode(), str(pq.read_table(path).to_pylist()).encode()]
    return b"\n".join(parts)
