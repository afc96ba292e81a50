"""Flink on one machine: where its jars are, what Java is told, and that an error says nothing of a record."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import CallerFault
from headwater.local.flink import LIBRARY_VARIABLE, java_flags, library
from headwater.local.flink_session import causes


def test_a_folder_that_is_named_holds_flink_or_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path))
    with pytest.raises(CallerFault) as refused:
        library()
    assert refused.value.code == "HW-P249"
    (tmp_path / "flink-dist-2.3.0.jar").touch()
    assert library() == tmp_path


def test_an_old_java_is_not_told_what_it_does_not_know() -> None:
    assert "--sun-misc-unsafe-memory-access=allow" in java_flags(25)
    assert "--sun-misc-unsafe-memory-access=allow" not in java_flags(17)
    assert "-Xmx99m" in java_flags(17, heap_mb=99)


def test_what_a_gateway_says_of_an_error_is_shown_without_values() -> None:
    said = (
        '{"errors": ["java.util.concurrent.ExecutionException: x\\n\\tat a.B(C.java:1)\\n'
        'Caused by: java.io.IOException: record secret-key\\nCaused by: java.lang.ArithmeticException: 42 overflows"]}'
    )
    assert causes(said) == "java.io.IOException < java.lang.ArithmeticException"
    assert causes("no java at all") == ""
