"""What a soak calls flat, and its picture."""

from __future__ import annotations

import pytest

from benchmarks import chart
from benchmarks.soak import Look, growth_per_hour

HOUR = range(0, 3600, 5)


def looks(resident_mb) -> list[Look]:
    return [Look(at_s, resident_mb(at_s), files=20, threads=4, waiting=0) for at_s in HOUR]


def test_growth_is_the_slope_of_all_looks_in_megabytes_an_hour():
    assert growth_per_hour(looks(lambda at_s: 100 + at_s / 600), "resident_mb") == pytest.approx(6)
    assert growth_per_hour(looks(lambda at_s: 100.0), "files") == 0


def test_the_first_sixth_does_not_count():
    warming = looks(lambda at_s: 100.0 if at_s >= 600 else at_s / 6)
    assert growth_per_hour(warming, "resident_mb") == pytest.approx(0, abs=0.01)


def test_what_comes_and_goes_every_five_minutes_is_no_growth():
    sawtooth = looks(lambda at_s: 100 + (5 if at_s % 300 > 240 else 0))
    assert abs(growth_per_hour(sawtooth, "resident_mb")) < 1


def test_the_picture_names_every_load(tmp_path):
    path = tmp_path / "soak.svg"
    chart.draw(path, {"one": looks(lambda _: 90.0), "other": looks(lambda _: 80.0)}, 600)
    drawn = path.read_text()
    assert "one" in drawn
    assert "other" in drawn
    assert "open files" in drawn
