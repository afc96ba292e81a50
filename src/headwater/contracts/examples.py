"""`tests.yaml` beside a product: examples of its flow, given records and what must come of them. Shapes and values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwater.contracts import strict_yaml
from headwater.contracts.keys import PRODUCT_NAME, SENTENCE, WORD
from headwater.contracts.shape import Reading, Whole, wrong_kind
from headwater.contracts.shape_collection import LIST_LIMIT, Key, ListOf, MapOf, Record
from headwater.contracts.shape_instant import INSTANT
from headwater.contracts.strict_yaml import Node, Scalar

EXAMPLES_FILE = "tests.yaml"
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Row:
    """Some fields of a record, as plain JSON. `path` is its place in the file."""

    fields: Mapping[str, Any]
    path: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be true of the product at a valid moment, as known at a recorded one; None leaves a side open.

    `output` names a further output of the product that it is about.
    """

    rows: tuple[Row, ...]
    valid: str | None
    recorded: str | None
    path: str
    output: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """Records of the inputs, by product, in the order of their arrival, and what must come of them.

    `records` are all that the product must publish, None where that is not said.
    """

    name: str
    given: Mapping[str, tuple[Row, ...]]
    expect: tuple[Expectation, ...]
    records: tuple[Row, ...] | None
    quarantined: int
    path: str


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of a record: any names, any values, as JSON has them. Text that looks like a number needs quotes."""

    def read(self, node: Node, reading: Reading, path: str) -> Row | None:
        """The fields with their place."""
        if not isinstance(node, strict_yaml.Mapping):
            wrong_kind(node, reading, path, "a mapping (the fields of a record)")
            return None
        return Row(_value(node, reading, path), path)

    def json_schema(self) -> dict[str, Any]:
        """Any object."""
        return {"type": "object"}


def _value(node: Node, reading: Reading, path: str) -> Any:
    if isinstance(node, strict_yaml.Mapping):
        values = {}
        for key, item in node.entries:
            place = f"{path}.{key.text}"
            reading.places[place] = (key.line, key.column)
            values[key.text] = _value(item, reading, place)
        return values
    if isinstance(node, strict_yaml.Sequence):
        return [_value(item, reading, f"{path}[{index}]") for index, item in enumerate(node.items)]
    if not isinstance(node, Scalar):
        return None
    if not node.plain:
        return node.text
    if node.text in _WORDS:
        return _WORDS[node.text]
    if _INTEGER.match(node.text):
        return int(node.text)
    return float(node.text) if _NUMBER.match(node.text) else node.text


INPUT_NAME = replace(PRODUCT_NAME, pattern=rf"{PRODUCT_NAME.pattern}(?:/[a-z][a-z0-9_]*)?")  # or an output of one
_ROWS = ListOf(_Fields())
_EXPECTATION = Record(
    "an expectation",
    {
        "valid": Key(INSTANT, "What is true when; left out: whenever."),
        "recorded": Key(INSTANT, "As it was known when; left out: after everything that is given."),
        "output": Key(WORD, "Of which further output; left out, of the first."),
        "rows": Key(_ROWS, "All rows that hold, each with the fields that matter; in any order.", required=True),
    },
)
_EXAMPLE = Record(
    "an example",
    {
        "name": Key(SENTENCE, "What it shows, in one line.", required=True),
        "given": Key(
            MapOf(INPUT_NAME, ListOf(_Fields(), 1), 1),
            "Records of the inputs, by product, each list in the order of arrival.",
            required=True,
        ),
        "expect": Key(ListOf(_EXPECTATION, 1), "What is true of the product, as of moments."),
        "records": Key(_ROWS, "All records that the product publishes, each with the fields that matter."),
        "quarantined": Key(Whole(0, LIST_LIMIT), "How many given records must be set aside. Default: 0."),
    },
)
EXAMPLES = Record(
    EXAMPLES_FILE, {"examples": Key(ListOf(_EXAMPLE, 1), "Examples of the product's flow.", required=True)}
)


def examples_of(values: dict[str, Any], reading: Reading) -> tuple[Example, ...]:
    """The examples of a file that was read; notes a name that stands twice, and an example that expects nothing."""
    examples: list[Example] = []
    for index, value in enumerate(values["examples"]):
        path = f"examples[{index}]"
        name = " ".join(value["name"].split())
        if any(known.name == name for known in examples):
            why, fix = "an example is asked for by its name", "give it a name of its own"
            place = reading.places[f"{path}.name"]
            reading.find("HW-P140", f"{path}.name", place, f"two examples are named '{name[:60]}'", why=why, fix=fix)
        if not {"expect", "records", "quarantined"} & value.keys():
            why, fix = "it could not fail", "add expect: [{rows: [...]}]"
            reading.find("HW-P141", path, reading.places[path], "the example expects nothing", why=why, fix=fix)
        expect = tuple(
            Expectation(
                one["rows"], one.get("valid"), one.get("recorded"), f"{path}.expect[{at}]", one.get("output", "")
            )
            for at, one in enumerate(value.get("expect", ()))
        )
        quarantined = value.get("quarantined", 0)
        examples.append(Example(name, value["given"], expect, value.get("records"), quarantined, path))
    return tuple(examples)
