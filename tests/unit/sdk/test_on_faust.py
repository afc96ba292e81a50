"""An application of Faust is refused where it cannot keep a product's promise, before anything of it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import CallerFault, NotSupported
from headwater.ports.memory import MemoryBroker
from headwater.processing.runners.faust import FaustProducts
from headwater.sdk.on_faust import AppFile, Way, run_on_faust
from headwater.testing.broker_mesh import BrokerMesh
from headwater.timeline.clock import ManualClock


@pytest.fixture
def small(tmp_path: Path) -> BrokerMesh:
    return BrokerMesh.made(MemoryBroker(ManualClock()), tmp_path / "mesh", "x")


def products(small: BrokerMesh, folder: Path, **settings: Any) -> FaustProducts:
    return FaustProducts([small.plan], small.surroundings(folder), {"broker": "kafka://127.0.0.1:9", **settings})


def test_exactly_once_of_fausts_own_is_refused_at_the_start(small: BrokerMesh, tmp_path: Path) -> None:
    import faust

    joining = products(small, tmp_path / "state", processing_guarantee="exactly_once")
    with pytest.raises(CallerFault) as refused:
        joining.join(faust.App(**joining.settings()))
    assert refused.value.code == "HW-P210"


def test_a_product_joins_with_every_topic_that_its_stages_read(small: BrokerMesh, tmp_path: Path) -> None:
    import faust

    joining = products(small, tmp_path / "state")
    app = faust.App(**joining.settings())
    joining.join(app)
    assert type(app.transport).__module__ == "headwater.processing.runners.faust_transport"
    assert joining.topics == sorted(
        [
            f"{small.source.output.topic}",
            f"{small.source.output.topic}.progress",
            small.plan.stages[0].output.topic,
        ]
    )


def test_a_file_without_an_application_is_said_to_be_none(small: BrokerMesh, tmp_path: Path) -> None:
    for text in (b"app = 1\n", b"def (\n"):
        with pytest.raises(CallerFault) as refused:
            run_on_faust((), Way(small.surroundings(tmp_path)), AppFile(tmp_path / "app.py", text))
        assert refused.value.code == "HW-P217"


def test_without_the_extra_it_says_what_to_install(
    small: BrokerMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faust", None)
    with pytest.raises(NotSupported, match="not installed") as refused:
        run_on_faust((str(small.plan.product),), Way(small.surroundings(tmp_path)))
    assert refused.value.code == "HW-P212"
    assert "headwater[faust]" in refused.value.hint
