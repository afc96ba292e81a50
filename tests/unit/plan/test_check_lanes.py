"""What the offline check says of the Debezium lane."""

from __future__ import annotations

from pathlib import Path

from headwater.plan.check import check
from headwater.testing.small_mesh import DEPARTURE_SCHEMA, DEPARTURES, edit, write, write_small_mesh


def test_settings_of_debezium_that_lose_rows_are_refused_with_their_place(tmp_path: Path) -> None:
    folder = write_small_mesh(tmp_path)
    edit(folder, "mesh.yaml", "environments:", "debezium: {max.batch.size: 10, snapshot.mode: initial}\nenvironments:")
    found = [one for one in check(folder).findings if one.code == "HW-O139"]
    assert [(one.file, one.line, one.severity) for one in found] == [("mesh.yaml", 3, "error")]


def test_one_table_has_one_lane(tmp_path: Path) -> None:
    folder = write_small_mesh(tmp_path)
    for name in (DEPARTURES, DEPARTURE_SCHEMA):
        text = (folder / name).read_text().replace("flights.departures", "flights.arrivals")
        write(folder, name.replace("departures", "arrivals"), text)
    edit(folder, DEPARTURES, "table: public.outbox", "table: public.outbox, lane: debezium")
    assert "HW-O120" in {one.code for one in check(folder).findings}
