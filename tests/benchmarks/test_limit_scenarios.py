"""The benchmark of limits runs, in a few seconds of it, and draws its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.limit_scenarios import SCENARIOS

pytest.importorskip("anthropic")
pytest.importorskip("matplotlib")


async def test_a_run_against_limits_that_change_has_its_bars_and_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    monkeypatch.setenv("VOYAGE_API_KEY", "key")
    picture = tmp_path / "limits.svg"
    report = await SCENARIOS["changing"](5.0, picture)
    assert [bar.name.partition(": ")[0] for bar in report.bars] == ["changing", "changing"]
    assert report.figures["calls"] > 0
    assert "refusals (429)" in picture.read_text()
