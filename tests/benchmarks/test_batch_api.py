"""Message Batches leave the loop free; `python -m benchmarks.batch_api` has ten of them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.batch_api import MAX_LAG_MS, measured, simulator


async def test_20_mb_of_requests_and_their_results_block_the_loop_for_less_than_50_ms(
    tmp_path: Path,
) -> None:
    with simulator() as (url, _):
        figures = await measured(url, 5_000, 1, tmp_path)
    assert figures["mb"] > 20
    assert figures["lines"] == 5_000
    assert figures["create_lag_ms"] < MAX_LAG_MS
    assert figures["results_lag_ms"] < MAX_LAG_MS
