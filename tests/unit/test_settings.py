"""Settings that are plainly right are read without pydantic, and as pydantic reads them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater import settings
from headwater.errors import CallerFault

_VALUES = {
    "MESH": st.sampled_from(["", ".", "/x", "meshes/a", " /x", "~/x"]),
    "ENVIRONMENT": st.sampled_from(["", "local", "LOCAL", " a", "ö"]),
    "DATA": st.sampled_from(["", "/d", "d/../e"]),
    "PORT_BASE": st.sampled_from(
        [
            "",
            "1023",
            "1024",
            "29090",
            "65000",
            "65001",
            "029090",
            "29_090",
            "2e4",
            "29090.0",
            " 29090",
            "٢٩٠٩٠",
            "x",
            "-1",
        ]
    ),
    "CURSOR_KEY": st.sampled_from(["", "k", "k k "]),
    "FAILPOINT": st.sampled_from(["", "relay.in_commit:1:kill", "relay.in_commit:0:kill", "a:1:kill\n", "a:1:sleep"]),
    "CACHE": st.sampled_from(["", "/c"]),
}


@st.composite
def variables(draw: st.DrawFn) -> dict[str, str]:
    chosen = draw(st.sets(st.sampled_from(sorted(_VALUES)), max_size=4))
    found = {f"HEADWATER_{name}": draw(_VALUES[name]) for name in sorted(chosen)}
    if draw(st.booleans()):
        found[draw(st.sampled_from(["headwater_port_base", "Headwater_Mesh", "PORT_BASE"]))] = "29091"
    return found


@given(variables())
def test_what_is_read_plainly_is_what_pydantic_reads(found: dict[str, str]) -> None:
    plain = settings._plainly_read(found)
    if plain is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().startswith("headwater_")]:
            patch.delenv(name)
        for name, value in found.items():
            patch.setenv(name, value)
        assert settings._judged() == plain


@pytest.mark.parametrize(
    ("found", "plain"),
    [
        ({}, True),
        ({"HEADWATER_MESH": "/m", "HEADWATER_PORT_BASE": "21000", "HEADWATER_OFFLINE": "1", "OTHER": ""}, True),
        ({"HEADWATER_FAILPOINT": "relay.in_commit:3:kill"}, True),
        ({"HEADWATER_FAILPOINT": "relay.in_commit:3:sleep"}, False),
        ({"HEADWATER_PORT_BASE": "80"}, False),
        ({"headwater_mesh": "/m"}, False),
    ],
)
def test_the_usual_takes_the_short_way(found: dict[str, str], plain: bool) -> None:
    assert (settings._plainly_read(found) is not None) is plain


def test_what_is_wrong_is_said_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_PORT_BASE", "80")
    with pytest.raises(CallerFault, match=r"HEADWATER_PORT_BASE is not usable: .*1024") as caught:
        settings.load_settings()
    assert caught.value.code == "HW-K001"
