"""What a limiter meets on its way: limits that change, others on the key, sharp increases, places,
and APIs that say nothing."""

from __future__ import annotations

import asyncio

import aiohttp
import anthropic
import orjson
import pytest
import voyageai

from streams.errors import UsageError
from streams.simulator.acceleration import Acceleration
from streams.simulator.rate_limits import Bucket
from streams.simulator.simulator_settings import SimulatorSettings, changes_of
from tests.contract.simulator.asking import microbatch, texts


async def raw(client, count=1, **changes):
    return await client.messages.with_raw_response.create(**microbatch(texts(count), **changes))


async def refusal(client, **changes):
    with pytest.raises(anthropic.APIStatusError) as caught:
        await raw(client, **changes)
    return caught.value


def requests_of(response):
    """Limit and remaining."""
    found = [response.headers[f"anthropic-ratelimit-requests-{part}"] for part in PARTS]
    return tuple(map(int, found))


PARTS = ("limit", "remaining")


def limit_headers(response):
    return [name for name in response.headers if "ratelimit" in name or "retry" in name]


async def post(simulator, value):
    url = f"{simulator.url}/simulator/limits"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=orjson.dumps(value)) as response,
    ):
        return response.status, orjson.loads(await response.read())


async def test_limits_change_at_their_times_after_the_first_call(limited, claude, clock):
    simulator = await limited(requests_per_minute=60, limit_changes=[(20, 1), (10, 0.5)])
    client = claude(simulator)
    clock.now += 100
    assert requests_of(await raw(client)) == (60, 59)
    clock.now += 10
    assert requests_of(await raw(client)) == (30, 29)
    clock.now += 10
    assert requests_of(await raw(client)) == (60, 29)


async def test_between_two_calls_each_change_counts_from_its_own_moment(limited, claude, clock):
    simulator = await limited(requests_per_minute=60, limit_changes=[(0, 0.5), (10, 1)])
    client = claude(simulator)
    for _ in range(30):
        await raw(client)
    clock.now += 20
    assert requests_of(await raw(client)) == (60, 5 + 10 - 1)


async def test_limits_are_changed_from_outside(limited, claude):
    simulator = await limited(requests_per_minute=60)
    client = claude(simulator)
    await raw(client)
    status, state = await post(simulator, {"factor": 0.5})
    assert status == 200
    assert state["groups"] == {"claude-haiku-5-5": {"requests": {"limit": 30, "level": 30}}}
    assert requests_of(await raw(client)) == (30, 29)
    assert requests_of(await raw(client, model="claude-haiku-4-5")) == (30, 29)


@pytest.mark.parametrize(
    "wrong", [{"factor": 0}, {"factor": "half"}, {"others_share": 1}, {"limit": 5}, [0.5]]
)
async def test_a_change_that_is_none_is_refused_and_changes_nothing(start, wrong):
    simulator = await start(requests_per_minute=60)
    status, answer = await post(simulator, wrong)
    assert status == 400
    assert answer["error"]
    assert simulator.simulation.limits.factor == 1


async def test_a_reset_restores_the_limits_and_their_course(limited, claude, clock):
    simulator = await limited(requests_per_minute=60, limit_changes=[(10, 0.5)])
    client = claude(simulator)
    for _ in range(2):
        assert requests_of(await raw(client)) == (60, 59)
        clock.now += 10
        assert requests_of(await raw(client)) == (30, 29)
        simulator.simulation.reset()


async def test_another_program_shows_in_remaining_but_not_in_retry_after(limited, claude, clock):
    simulator = await limited(requests_per_minute=60, others_share=0.25)
    client = claude(simulator)
    for _ in range(60):
        await raw(client)
    clock.now += 20
    assert requests_of(await raw(client)) == (60, 15 - 1)
    for _ in range(14):
        await raw(client)
    refused = await refusal(client)
    assert refused.response.headers["retry-after"] == "1"
    clock.now += 1
    await refusal(client)


def test_a_bucket_that_is_full_stays_full_beside_another_program() -> None:
    bucket = Bucket(60, 60, 0.0, others_share=0.25)
    assert bucket.level(100.0) == 60


def use(acceleration, seconds, per_s, start=0):
    """Calls of a tenth of a second's worth each; how many of them were refused."""
    refused = 0
    for n in range(seconds * per_s):
        now = start + n / per_s
        if acceleration.refuses(now):
            refused += 1
        else:
            acceleration.take(0.1, now)
    return refused


def test_use_that_doubles_every_few_seconds_is_no_sharp_increase() -> None:
    acceleration = Acceleration(3)
    assert [use(acceleration, 6, per_s, 6 * n) for n, per_s in enumerate((1, 2, 4, 8, 10))] == [
        0, 0, 0, 0, 0,
    ]  # fmt: skip


def test_use_that_jumps_is_refused_until_it_has_grown() -> None:
    acceleration = Acceleration(2)
    assert use(acceleration, 6, 1) == 0
    assert use(acceleration, 1, 10, 6) > 5
    assert use(acceleration, 30, 10, 7) > 10
    assert use(acceleration, 10, 10, 37) == 0


async def test_a_sharp_increase_is_refused_though_the_headers_show_room(limited, claude):
    simulator = await limited(requests_per_minute=60, acceleration=2)
    client = claude(simulator)
    await raw(client)
    refused = await refusal(client)
    assert refused.status_code == 429
    assert refused.type == "rate_limit_error"
    assert "acceleration limit" in refused.message
    assert requests_of(refused.response) == (60, 59)
    assert "retry-after" not in refused.response.headers
    assert simulator.state()["by_limit"] == {"acceleration": 1}


async def test_tokens_accelerate_as_requests_do(limited, claude):
    client = claude(await limited(input_tokens_per_minute=600_000, acceleration=2))
    await raw(client)
    await raw(client)
    await raw(client, 130)
    await refusal(client)


async def test_more_calls_than_places_are_refused_and_an_answer_frees_its_place(start, claude):
    simulator = await start(latency_ms=100, max_concurrent=3)
    client = claude(simulator)
    answers = await asyncio.gather(*(raw(client) for _ in range(5)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, Exception)]
    assert [each.status_code for each in refused] == [529, 529]
    assert simulator.state()["by_limit"] == {"concurrency": 2}
    await raw(client)


async def test_a_client_that_goes_away_frees_its_place(start, claude):
    simulator = await start(latency_ms=60_000, max_concurrent=1)
    client = claude(simulator, timeout=0.2)
    with pytest.raises(anthropic.APITimeoutError):
        await raw(client)
    await simulator.idle()
    with pytest.raises(anthropic.APITimeoutError):
        await raw(client)


async def test_models_of_a_group_share_their_limits(limited, claude):
    client = claude(await limited(requests_per_minute=2))
    await raw(client, model="claude-opus-4-7")
    assert requests_of(await raw(client, model="claude-opus-4-8")) == (2, 0)
    await refusal(client, model="claude-opus-4-7")
    await raw(client)


async def test_headers_tell_of_the_answer_or_of_the_arrival(start, claude):
    """Two calls at once: what the first reply says of the second."""
    for moment, remaining in (("answer", {98}), ("arrival", {99, 98})):
        simulator = await start(
            latency_ms=300, requests_per_minute=100, burst_s=60, limit_headers=moment
        )
        client = claude(simulator)
        both = await asyncio.gather(raw(client), raw(client))
        assert {requests_of(each)[1] for each in both} == remaining


async def test_output_counts_at_the_answer_and_headers_of_the_arrival_do_not_know_it(start, claude):
    for moment, remaining in (("answer", "0"), ("arrival", "1000")):
        simulator = await start(output_tokens_per_minute=600, limit_headers=moment)
        response = await raw(claude(simulator), 200)
        assert response.headers["anthropic-ratelimit-output-tokens-remaining"] == remaining
        await refusal(claude(simulator))


async def test_an_api_without_headers_refuses_without_headers(limited, claude):
    simulator = await limited(requests_per_minute=1, acceleration=9, limit_headers="none")
    client = claude(simulator)
    assert limit_headers(await raw(client)) == []
    refused = await refusal(client)
    assert refused.status_code == 429
    assert limit_headers(refused.response) == []


async def test_voyage_has_no_headers_either_when_use_grows_sharply(limited, voyage):
    simulator = await limited(voyage_requests_per_minute=60, acceleration=2)
    client = voyage(simulator)
    await client.embed(["x"], "voyage-4")
    with pytest.raises(voyageai.error.RateLimitError, match="acceleration limit") as caught:
        await client.embed(["x"], "voyage-4")
    assert limit_headers(caught.value) == []


async def test_requests_have_a_burst_of_their_own(limited, claude):
    simulator = await limited(
        requests_per_minute=60, input_tokens_per_minute=600_000, request_burst_s=2
    )
    client = claude(simulator)
    for _ in range(2):
        await raw(client)
    await refusal(client)
    assert (
        simulator.simulation.limits.state(1000.0)["groups"]["claude-haiku-5-5"]["input_tokens"][
            "level"
        ]
        > 500_000
    )


async def test_the_journal_names_the_limit_that_refused(limited, claude):
    simulator = await limited(requests_per_minute=1)
    client = claude(simulator)
    await raw(client)
    await refusal(client)
    assert [record["limit"] for record in simulator.simulation.journal.since(0)] == ["", "requests"]


def test_changes_stand_on_the_command_line_as_seconds_and_factor() -> None:
    assert changes_of(["60:0.5", "120:1"]) == [(60.0, 0.5), (120.0, 1.0)]
    assert changes_of(None) == []
    for wrong in ("60", "60:", "soon:1"):
        with pytest.raises(UsageError, match=r"60:0\.5"):
            changes_of([wrong])


@pytest.mark.parametrize(
    "wrong",
    [
        {"others_share": 1.0},
        {"acceleration": 0},
        {"request_burst_s": -1},
        {"max_concurrent": 0},
        {"limit_changes": [(60, 0)]},
        {"limit_headers": "never"},
    ],
)
def test_settings_of_limits_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SimulatorSettings(**wrong)
