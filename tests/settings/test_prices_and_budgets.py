"""What models cost and what calls may cost, as a configuration says it."""

from __future__ import annotations

import tomllib

import pytest

from streams.errors import ConfigError
from streams.providers import price_problem, task_price
from streams.settings import Settings
from streams.settings.load import settings_of

TASK = """
[worker]
id = "w"
[[task]]
name = "a"
source = "s"
sink = "t"
operation = "classify"
labels = ["a", "b"]
model = "{model}"
[task.limits]
{limits}
"""


def load(more: str = "", limits: str = "", model: str = "my-model", **variables: str) -> Settings:
    text = more + TASK.format(limits=limits, model=model)
    return settings_of(tomllib.loads(text), variables, need_tasks=True)


def problems(*texts: str, **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*texts, **variables)
    return list(caught.value.problems)


OWN = """
[prices."my-model"]
input = 1.0
"""


def test_a_tasks_price_is_what_the_file_says_of_its_model_and_a_variable_goes_before() -> None:
    assert load(OWN).tasks[0].price == load(OWN).prices["my-model"]
    assert load().tasks[0].price is None
    priced = load(OWN, STREAMS_PRICES__MY_MODEL__INPUT="2", STREAMS_PRICES__MY_MODEL__OUTPUT="3")
    price = task_price(priced.tasks[0])
    assert price is not None
    assert price.input, price.output == (2_000_000, 3_000_000)


def test_a_variable_alone_prices_the_model_of_a_task() -> None:
    price = task_price(load(STREAMS_PRICES__MY_MODEL__INPUT="2").tasks[0])
    assert price is not None


def test_a_price_without_a_date_holds_for_all_dates_and_one_with_it_goes_before() -> None:
    both = OWN + '[prices."my-model-20261122"]\ninput = 2.0\n'
    assert load(OWN, model="my-model-20261122").tasks[0].price == load(OWN).prices["my-model"]
    assert load(both, model="my-model-20261122").tasks[0].price != load(OWN).prices["my-model"]


def test_what_is_wrong_with_a_price_says_what_to_write() -> None:
    assert problems('[prices."my-model"]\noutput = -1.0\ncash_read = 2\n') == [
        "prices.my-model.input: is missing; it must be a number from 0 to 1000000",
        "prices.my-model.output: must be a number from 0 to 1000000, not -1.0",
        'prices.my-model.cash_read: unknown key; did you mean "cache_read"? allowed: input, output,'
        " cache_write, cache_write_1h, cache_read, batch, long_prompt_tokens, long_prompt_factor",
    ]


def test_a_budget_needs_a_price_and_the_line_says_where_to_write_it() -> None:
    assert price_problem(load("", "budget_usd = 1.0").tasks[0]) == (
        "task.a.limits: a budget needs the price of my-model, which is not known:"
        ' add [prices."my-model"] with input and output in USD per million tokens'
    )
    assert price_problem(load(OWN, "budget_usd = 1.0").tasks[0]) is None


def test_what_becomes_of_a_spent_budget_needs_a_budget() -> None:
    assert problems("", 'on_budget = "slow"') == [
        "task.a.limits.on_budget: needs a budget: one of budget_usd_per_hour, budget_usd_per_day,"
        " budget_usd"
    ]
    limits = load("", 'on_budget = "slow"\nbudget_usd_per_day = 0.5').tasks[0].limits
    assert (limits.has_budget, limits.on_budget, limits.budget_usd_per_day) == (True, "slow", 0.5)


def test_a_function_of_ones_own_has_no_price_and_so_no_budget() -> None:
    raw = tomllib.loads(TASK.format(limits="budget_usd = 1.0", model=""))
    raw["task"][0] = {
        **{key: raw["task"][0][key] for key in ("name", "source", "sink", "limits")},
        "operation": "custom",
    }
    with pytest.raises(ConfigError, match="a function of your own has none"):
        settings_of(raw, {}, need_tasks=True)


def test_no_task_reads_or_writes_the_topic_in_which_budgets_are_shared() -> None:
    raw = tomllib.loads(TASK.format(limits="budget_usd = 1.0", model="claude-haiku-5-5"))
    raw["task"][0]["sink"] = "w.budget"
    with pytest.raises(ConfigError, match=r"task.a.sink: .* is where workers share their budgets"):
        settings_of(raw, {}, need_tasks=True)
    raw = tomllib.loads(TASK.format(limits="", model="claude-haiku-5-5"))
    raw["task"][0]["sink"] = "w.budget"
    settings_of(raw, {}, need_tasks=True)
