"""A text's script is told from its length in UTF-8 and from its beginning."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import likely_tokens as module
from streams.codec.records import text_bytes
from streams.codec.scripts import script_of
from streams.policies.packing import CODE, LATIN, SCRIPTS, WIDE

PROSE = "The battery lasts two days, but the screen broke after a week (my fault). Would buy again!"


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", LATIN),
        (PROSE, LATIN),
        ("Le café était fermé, et la pâtisserie à côté aussi.", LATIN),
        ("It’s “fine”, he said — twice.", LATIN),
        ("电池可以用两天，但是屏幕一周后就坏了。", WIDE),
        ("用 Python 写的, version 3.11 以上可以运行。", WIDE),
        ("Батарея держит два дня, но экран сломался.", WIDE),
        ("😀😀😀", WIDE),
        (inspect.getsource(module.likely_tokens), CODE),
        ('{"id": 7, "tags": ["a", "b"], "price": {"amount": 12.5, "currency": "EUR"}}', CODE),
        (PROSE * 5 + inspect.getsource(module), LATIN),  # told by its beginning
    ],
)
def test_a_text_counts_in_the_script_of_most_of_it(text: str, script: int) -> None:
    assert script_of(text, text_bytes(text)) == script


@given(st.text(st.characters()))
def test_whatever_a_text_holds_it_has_a_script(text: str) -> None:
    assert 0 <= script_of(text, text_bytes(text)) < SCRIPTS
