"""A corpus of hostile YAML: each is refused within a second, with a place, and nothing is expanded."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts.load import read_product
from headwater.contracts.strict_yaml import BYTES_LIMIT, DEPTH_LIMIT, Mapping, parse_yaml

_LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
_MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 25))
HOSTILE = {
    "alias": "a: &x 1\nb: *x\n",
    "alias to itself": "a: &x [*x]\n",
    "alias as key": "a: &x b\n*x : 1\n",
    "alias unknown": "a: *nobody\n",
    "anchor alone": "product: &x a.b\n",
    "billion laughs": _LAUGHS,
    "brackets, 5,000": "[" * 5_000,
    "brackets, 200,000": "[" * 200_000,
    "braces": "{a: " * 50_000,
    "dashes": "- " * 100_000,
    "question marks": "? " * 100_000,
    "depth one too many": "[" * (DEPTH_LIMIT + 1) + "]" * (DEPTH_LIMIT + 1),
    "indent as depth": "\n".join(" " * n + "a:" for n in range(200)),
    "merge keys": _MERGES,
    "merge key alone": "<<: {a: b}\n",
    "merge key of a list": "a: {<<: [{b: c}, {d: e}]}\n",
    "key twice": "a: 1\na: 2\n",
    "key twice, quoted": "a: 1\n'a': 2\n",
    "list as key": "? [a, b]\n: c\n",
    "mapping as key": "{a: b}: c\n",
    "python tag": "a: !!python/object/apply:os.system [id]\n",
    "local tag": "a: !include /etc/passwd\n",
    "verbatim tag": "a: !<tag:yaml.org,2002:int> 3\n",
    "tag of a number": "a: !!int '3'\n",
    "tag directive": "%TAG ! tag:example.org,2000:\n---\na: b\n",
    "version directive": "%YAML 1.1\n---\na: b\n",
    "two documents": "a: b\n---\nc: d\n",
    "norway": "country: NO\n",
    "yes": "a: yes\n",
    "switch as key": "on: 1\n",
    "sexagesimal": "at: 12:30:45\n",
    "octal": "mode: 0644\n",
    "hexadecimal": "mask: 0xff\n",
    "underscores": "count: 1_000\n",
    "date": "day: 2013-01-05\n",
    "infinity": "limit: .inf\n",
    "tab as indent": "a:\n\tb: c\n",
    "unclosed quote": "a: 'b\n",
    "unclosed bracket": "a: [b\n",
    "nul": "a: b\x00c\n",
    "escape beyond unicode": 'a: "\\UFFFFFFFF"\n',
    "surrogate": 'a: "\\uD800"\n',
    "many values": "a: [" + "1," * 60_000 + "]\n",
    "many aliases": "a: [" + "*x," * 60_000 + "]\n",
    "many tags": "a: [" + "!!str x," * 25_000 + "]\n",
    "many keys twice": "a: 1\n" * 40_000,
    "too large": "#" * (BYTES_LIMIT + 1),
    "empty": "",
    "comments only": "#\n" * 100_000,
    "long plain scalar": "a" * 250_000,
    "not utf-8": b"a: \xff\xfe\n",
    "utf-16": "a: b\n".encode("utf-16"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_at_its_place_within_a_second(name: str) -> None:
    text = HOSTILE[name]
    started = time.process_time()
    contract = read_product(text if isinstance(text, bytes) else text.encode(), file="product.yaml", folder="x")
    elapsed = time.process_time() - started  # of the processor: other work on the machine is not ours
    assert contract.findings, "it was let in"
    assert contract.value is None
    assert all(finding.line or finding.code in ("HW-C001", "HW-C015") for finding in contract.findings)
    assert elapsed < 1, f"took {elapsed:.2f} s"


def test_bombs_take_no_memory() -> None:
    for name in ("billion laughs", "merge keys", "brackets, 200,000", "many values"):
        tracemalloc.start()
        parse_yaml(str(HOSTILE[name]).encode(), file="f")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64_000_000, f"{name} took {peak:,} bytes"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(alphabet="ab:-?[]{},&*!|>'\"%@#\\<~ \n\t0é\x00\u2028", max_size=60) | st.text(max_size=40))
def test_any_text_is_read_or_refused_and_never_fails_otherwise(text: str) -> None:
    node, findings = parse_yaml(text.encode("utf-8", "replace"), file="f")
    assert findings or node is None or node.line >= 1


def test_what_is_plain_yaml_is_read_as_it_is_written() -> None:
    node, findings = parse_yaml(b'\xef\xbb\xbfa: 007up\nb: "NO"\nc: >\n  folded\n  text\nd: {e: [f]}\n', file="f")
    assert not findings
    assert isinstance(node, Mapping)
    assert [(key.text, getattr(value, "text", "")) for key, value in node.entries] == [
        ("a", "007up"),
        ("b", "NO"),
        ("c", "folded text\n"),
        ("d", ""),
    ]
