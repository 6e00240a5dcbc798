"""The names of requests: they say whose a result is, and of which items."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from streams.batches.core.custom_ids import CustomId, checksum_of
from tests.batches.world import Text

RUNS = st.from_regex(r"[a-zA-Z0-9_-]{1,36}", fullmatch=True)


@given(
    RUNS,
    st.integers(0, 10**8 - 1),
    st.integers(0, 99),
    st.integers(0, 10**6 - 1),
    st.integers(0, 2**32 - 1),
)
def test_a_name_keeps_to_the_api_s_alphabet_and_length_and_is_read_back(
    run: str, chunk: int, round_number: int, number: int, checksum: int
) -> None:
    name = CustomId(run, chunk, round_number, number, checksum)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(name))
    assert CustomId.read(str(name)) == name


def test_another_s_name_is_none_of_ours() -> None:
    for text in ("", "request-1", "p3-o1200-1219", "run-1-2-3-XYZ", "run-1-2-3-0123456"):
        assert CustomId.read(text) is None


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_other_texts_or_another_division_of_them_have_another_checksum(
    one: list[str], other: list[str]
) -> None:
    same = checksum_of(map(Text, one)) == checksum_of(map(Text, other))
    assert same == (one == other)
