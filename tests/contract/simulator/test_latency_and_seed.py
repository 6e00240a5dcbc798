"""How long calls take, and that the seed decides everything that is drawn."""

from __future__ import annotations

import asyncio
import time

import pytest

from streams.errors import UsageError
from streams.simulator import SimulatorSettings
from tests.contract.simulator.asking import microbatch, results_of, texts
from tests.patience import Stopwatch


async def took_s(client, count=2):
    began = time.monotonic()
    await client.messages.create(**microbatch(texts(count)))
    return time.monotonic() - began


async def test_a_call_takes_the_latency_and_calls_at_once_take_it_together(start, claude):
    client = claude(await start(latency_ms=150))
    await took_s(client)
    together = Stopwatch()
    each = await asyncio.gather(*(took_s(client) for _ in range(20)))
    assert min(each) >= 0.15
    assert together.took_s < 20 * 0.15 / 2


async def test_output_tokens_make_a_call_longer(start, claude):
    simulator = await start(ms_per_token=1, latency_ms=5)
    client = claude(simulator)
    for count in (1, 40):
        took = await took_s(client, count)
        *_, record = simulator.simulation.journal.since(0)
        assert took >= 0.005 + record["output_tokens"] / 1000
    assert record["output_tokens"] > 300


async def test_jitter_stays_within_its_bound_and_comes_from_the_seed(start):
    simulations = [(await start(jitter_ms=50, seed=seed)).simulation for seed in (1, 1, 2)]

    class Numbered:
        output_tokens = 0
        delay_s = 0.0

        def __init__(self, n):
            self.n = n

    drawn = [[s.due_s(Numbered(n)) for n in range(100)] for s in simulations]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 0 <= min(drawn[0]) < 0.005
    assert 0.045 < max(drawn[0]) <= 0.05


async def test_an_error_by_script_comes_at_once(start, claude):
    client = claude(await start(latency_ms=60_000, script=[{"fault": "overloaded"}]))
    async with asyncio.timeout(30):
        with pytest.raises(Exception, match="Overloaded"):
            await client.messages.create(**microbatch(texts(1)))


async def run_of(start, claude, voyage, seed):
    """What one fixed run of calls answers, in bytes."""
    rules = [{"fault": "missing", "probability": 0.5}, {"fault": "enum_case", "every": 3}]
    simulator = await start(seed=seed, script=rules)
    client = claude(simulator)
    seen = []
    for count in (3, 5, 8, 2, 4, 6):
        message = await client.messages.create(**microbatch(texts(count)))
        seen.append((message.id, results_of(message), message.usage.model_dump()))
    seen.append((await voyage(simulator).embed(["one", "two"], "voyage-4")).embeddings)
    return seen


async def test_the_same_calls_get_the_same_answers_faults_and_ids_with_the_same_seed(
    start, claude, voyage
):
    first, again = [await run_of(start, claude, voyage, 11) for _ in range(2)]
    other = await run_of(start, claude, voyage, 12)
    assert first == again
    assert first[0][1] != other[0][1] or first[1][1] != other[1][1]
    assert first[-1] != other[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency_ms": -1},
        {"latency_ms": float("nan")},
        {"batch_ms": float("inf")},
        {"port": 70_000},
        {"requests_per_minute": 0},
        {"burst_s": 0},
        {"ledger_size": 0},
        {"answers": "model"},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    """With the name of the setting."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SimulatorSettings(**wrong)
