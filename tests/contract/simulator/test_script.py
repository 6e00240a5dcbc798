"""Which call meets which fault: the rules of a script."""

from __future__ import annotations

import orjson
import pytest

from streams.errors import UsageError
from streams.simulator.calls import Call
from streams.simulator.prompt import PromptItem
from streams.simulator.script import load_script


def call(n, endpoint="messages", model="claude-haiku-5-5", texts=("a text",)):
    made = Call(n, endpoint, "anthropic", True, {}, f"req_{n}")
    made.model = model
    made.items = [PromptItem(str(place), text) for place, text in enumerate(texts, 1)]
    return made


def played(script, calls):
    """The numbers of the calls that met a fault."""
    return [made.n for made in calls if script.match(made) is not None]


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"calls": 4}, [4]),
        ({"calls": "4"}, [4]),
        ({"calls": "3-5"}, [3, 4, 5]),
        ({"calls": [3, 5]}, [3, 4, 5]),
        ({"calls": "8-"}, [8, 9]),
        ({"every": 3}, [3, 6, 9]),
        ({"every": 2, "calls": "3-7"}, [4, 6]),
        ({"times": 2}, [1, 2]),
        ({"every": 2, "times": 2}, [2, 4]),
        ({"probability": 0.0}, []),
        ({"probability": 1.0}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"model": "another"}, []),
        ({"endpoint": "embeddings"}, []),
        ({"text": "nowhere"}, []),
        ({"text": "a t"}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_a_condition_picks_these_of_nine_calls(condition, numbers):
    """Conditions that are given together must all hold."""
    script = load_script([{"fault": "overloaded", **condition}], 0)
    assert played(script, [call(n) for n in range(1, 10)]) == numbers


def test_a_rule_numbers_only_the_calls_that_fit_it():
    script = load_script([{"fault": "hang", "endpoint": "embeddings", "calls": 2}], 0)
    calls = [call(n, "embeddings" if n % 3 == 0 else "messages") for n in range(1, 10)]
    assert played(script, calls) == [6]


def test_the_first_rule_that_is_due_gives_the_fault_but_all_rules_count():
    script = load_script(
        [{"fault": "hang", "calls": 1}, {"fault": "reset", "calls": "1-2"}, {"fault": "conflict"}],
        0,
    )
    faults = [script.match(call(n)).fault for n in range(1, 4)]
    assert faults == ["hang", "reset", "conflict"]


def test_delays_add_up_and_let_later_rules_apply():
    script = load_script(
        [
            {"fault": "delay", "delay_ms": 100},
            {"fault": "delay", "delay_ms": 20},
            {"fault": "overloaded", "delay_ms": 3},
        ],
        0,
    )
    made = call(1)
    assert script.match(made).fault == "overloaded"
    assert made.delay_s == pytest.approx(0.123)


def test_a_probability_is_met_about_as_often_as_it_says_and_the_same_for_the_same_seed():
    rule = [{"fault": "overloaded", "probability": 0.2}]
    numbers = [
        played(load_script(rule, seed), [call(n) for n in range(2000)]) for seed in (1, 1, 2)
    ]
    assert 330 < len(numbers[0]) < 470  # 400 expected, four standard deviations are 72
    assert numbers[0] == numbers[1]
    assert numbers[0] != numbers[2]


def test_without_endpoint_a_rule_is_for_calls_to_models_alone():
    script = load_script([{"fault": "unauthorized"}], 0)
    endpoints = ["messages", "embeddings", "models", "batches", "batch_results", "batch_request"]
    met = [script.match(call(1, endpoint)) is not None for endpoint in endpoints]
    assert met == [True, True, False, False, False, True]
    everywhere = load_script([{"fault": "unauthorized", "endpoint": "*"}], 0)
    assert all(everywhere.match(call(1, endpoint)) for endpoint in endpoints)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("faults.toml", '[[rule]]\nfault = "hang"\ncalls = "2-3"\n'),
        ("faults.json", '{"rules": [{"fault": "hang", "calls": [2, 3]}]}'),
        ("list.json", '[{"fault": "hang", "calls": "2-3"}]'),
    ],
)
def test_a_script_can_be_a_file(tmp_path, name, content):
    """TOML or JSON."""
    path = tmp_path / name
    path.write_text(content)
    script = load_script(path, 0)
    assert played(script, [call(n) for n in range(1, 6)]) == [2, 3]


WRONG = {
    "an unknown fault": ({"fault": "explode"}, "unknown fault 'explode'; known: bad_gateway"),
    "no fault": ({}, "unknown fault None"),
    "an unknown key": ({"fault": "hang", "color": 1}, "unknown key 'color'"),
    "an unknown endpoint": ({"fault": "hang", "endpoint": "chat"}, "unknown endpoint 'chat'"),
    "a range that is none": ({"fault": "hang", "calls": "a-b"}, "rule 1"),
    "a range of one end": ({"fault": "hang", "calls": [1]}, "calls: 3"),
    "every 0": ({"fault": "hang", "every": 0}, "start at 1"),
    "a text for a number": ({"fault": "hang", "delay_ms": "9"}, "delay_ms: '9'"),
    "a truth for a number": ({"fault": "hang", "times": True}, "times: True"),
    "a status without one": ({"fault": "status"}, "needs a `status`"),
    "no object": ("hang", "an object is expected"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_rule_is_refused_with_what_is_wrong(what):
    """And with its number."""
    rule, word = WRONG[what]
    with pytest.raises(UsageError, match="script: rule 1: ") as caught:
        load_script([rule], 0)
    assert word in str(caught.value)


def test_all_problems_of_a_script_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        load_script([{"fault": "x"}, {"fault": "hang"}, {"fault": "y"}], 0)
    assert [line[:14] for line in str(caught.value).splitlines()] == [
        "script: rule 1",
        "script: rule 3",
    ]


@pytest.mark.parametrize("content", ["{", '{"faults": []}', "7", '"x"'])
def test_a_file_that_is_no_script_is_refused(tmp_path, content):
    """With the reason, not a traceback."""
    path = tmp_path / "faults.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="script"):
        load_script(path, 0)
    with pytest.raises(UsageError, match="No such file"):
        load_script(tmp_path / "none.toml", 0)


def test_the_state_says_how_often_each_rule_counted_and_played():
    script = load_script([{"fault": "hang", "every": 2}], 0)
    played(script, [call(n) for n in range(5)])
    assert script.played() == [{"fault": "hang", "seen": 5, "played": 2}]
    assert orjson.dumps(script.played())
