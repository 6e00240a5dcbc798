"""Tokens by script add up to the likely tokens of a text."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.codec import likely_tokens as module
from streams.codec.likely_tokens import likely_tokens
from streams.codec.script_tokens import script_tokens

PROSE = "The battery lasts two days, but the screen broke after a week (my fault). Would buy again!"


@settings(max_examples=60)
@given(st.text())
def test_scripts_add_up_to_the_likely_tokens(text: str) -> None:
    assert sum(script_tokens(text)) == pytest.approx(likely_tokens(text))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (PROSE, "latin"),
        ("Le café était fermé, et la pâtisserie à côté aussi.", "latin"),
        ("电池可以用两天，但是屏幕一周后就坏了。", "wide"),
        ("Батарея держит два дня, но экран сломался.", "wide"),
        (inspect.getsource(module.likely_tokens), "code"),
        ('{"id": 7, "tags": ["a", "b"], "price": {"amount": 12.5, "currency": "EUR"}}', "code"),
    ],
)
def test_a_text_counts_mostly_in_its_script(text: str, script: str) -> None:
    counts = script_tokens(text)._asdict()
    assert max(counts, key=lambda name: counts[name]) == script


def test_an_empty_text_takes_nothing() -> None:
    assert script_tokens("") == (0, 0, 0)
