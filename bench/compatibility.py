"""Our compatibility checker against what decoders do: `python bench/compatibility.py --pairs 100000 --seed 1`.

For each generated pair the data is written by hand in Avro's layout, reaching every branch; it is resolved to the
reader's schema by fastavro and by Python's `avro` package. Our verdict must be theirs, in both directions, and so must
`avro`'s own checker's; where they differ by their nature, the difference has to be one of those listed in
docs/concepts/compatibility.md, recognised by the code of a finding. Exit code 1 where anything else differs.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import avro.schema
import fastavro
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.io import BinaryDecoder, DatumReader

from headwater.errors import InvalidFiles
from headwater.schemas.avro import parse
from headwater.schemas.compatibility import Break, compare
from headwater.testing.schema_pairs import BodyGenerator, Pair, PairGenerator

# By our findings: what we refuse though the decoders of Python read it, and what those of one package refuse though
# Avro's rules and other decoders read it.
REFUSED_BY_US = {"HW-S107", "HW-S108"}
UNKNOWN_TO_AVRO_DECODER = {"HW-S110", "HW-S112", "HW-S114", "HW-S115", "HW-S116"}
UNKNOWN_TO_FASTAVRO: set[str] = set()
# Python's avro compares the kinds of items and values exactly, so that it promotes nothing inside of arrays and maps,
# and it takes no union of a writer for a reader without one, even where every branch could be read.
COLLECTIONS = ("Writer's Schema: [", *(f'Writer\'s Schema: {{\n  "type": "{kind}"' for kind in ("array", "map")))


def main() -> int:
    """Run, print the counts as JSON, and every disagreement."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pairs", type=int, default=1_000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    disagreements = 0
    for index in range(options.pairs):
        seed = options.seed * 1_000_003 + index
        for line in judge_pair(seed, counts):
            disagreements += 1
            if disagreements <= 20:
                print(line)
    print(
        json.dumps({"seed": options.seed, "pairs": options.pairs, "disagreements": disagreements, **counts}, indent=1)
    )
    return 1 if disagreements else 0


def judge_pair(seed: int, counts: Counter[str]) -> list[str]:
    """One pair: what all say of it; the disagreements as lines of text."""
    chance = random.Random(seed)
    pair = PairGenerator(chance).pair()
    writer_text, reader_text, references = texts(pair, chance)
    try:
        writer, reader = parse(writer_text, references), parse(reader_text)
    except InvalidFiles as invalid:
        counts[f"not a schema: {invalid.findings[0].code}"] += 1
        return []
    found = compare(reader, writer)
    ours = all(item.severity != "error" for item in found)
    counts["compatible" if ours else "incompatible"] += 1
    for feature in pair.features | ({"references"} if references else set()):
        counts[f"with {feature}"] += 1
    codes = {item.code for item in found}
    errors = {item.code for item in found if item.severity == "error"}
    bodies = BodyGenerator(chance, pair.writer).bodies()
    counts["bodies"] += len(bodies)
    problems = []
    for name, verdict, unknown in (
        ("fastavro", fastavro_reads(pair, bodies), UNKNOWN_TO_FASTAVRO),
        ("avro", avro_reads(pair, bodies), UNKNOWN_TO_AVRO_DECODER),
        ("avro checker", avro_checker(pair), set()),
    ):
        if (verdict == "") == ours:
            continue
        collection = name == "avro" and any(text in verdict for text in COLLECTIONS)
        known = collection if ours else errors <= REFUSED_BY_US
        if known or codes & unknown:
            counts[f"explained: {name}"] += 1
            continue
        problems.append(described(seed, name, pair, found, verdict))
    return problems


def texts(pair: Pair, chance: random.Random) -> tuple[str, str, dict[str, str]]:
    """Both texts; now and then the writer's first inner record comes from a schema that it refers to."""
    if chance.random() < 0.2:
        writer = json.loads(json.dumps(pair.writer))
        for item in writer["fields"]:
            inner = item["type"]
            if isinstance(inner, dict) and inner["type"] == "record" and writer["name"] not in json.dumps(inner):
                item["type"] = inner["name"]
                return json.dumps(writer), json.dumps(pair.reader), {inner["name"]: json.dumps(inner)}
    return json.dumps(pair.writer), json.dumps(pair.reader), {}


def fastavro_reads(pair: Pair, bodies: list[bytes]) -> str:
    """Why fastavro cannot read one of the bodies; empty where it reads all."""
    writer = fastavro.parse_schema(json.loads(json.dumps(pair.writer)))
    reader = fastavro.parse_schema(json.loads(json.dumps(pair.reader)))
    return _tried(bodies, lambda body: fastavro.schemaless_reader(io.BytesIO(body), writer, reader))


def avro_reads(pair: Pair, bodies: list[bytes]) -> str:
    """Why the avro package cannot read one of the bodies."""
    writer = avro.schema.parse(json.dumps(pair.writer))
    reader = avro.schema.parse(json.dumps(pair.reader))
    return _tried(bodies, lambda body: DatumReader(writer, reader).read(BinaryDecoder(io.BytesIO(body))))


def avro_checker(pair: Pair) -> str:
    """What avro's own checker has against the pair."""
    writer, reader = avro.schema.parse(json.dumps(pair.writer)), avro.schema.parse(json.dumps(pair.reader))
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    return "" if result.compatibility is SchemaCompatibilityType.compatible else str(result.incompatibilities)


def _tried(bodies: list[bytes], read: Callable[[bytes], Any]) -> str:
    for body in bodies:
        try:
            read(body)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200]
    return ""


def described(seed: int, name: str, pair: Pair, found: list[Break], verdict: str) -> str:
    """A disagreement, with all that is needed to look into it."""
    lines = [f"pair {seed}: {name} says {verdict or 'readable'}"]
    lines += [f"  we: {item.severity} {item.code} {item.reader_path} {item.message}" for item in found]
    return "\n".join([*lines, f"  writer {json.dumps(pair.writer)}", f"  reader {json.dumps(pair.reader)}"])


if __name__ == "__main__":
    sys.exit(main())
