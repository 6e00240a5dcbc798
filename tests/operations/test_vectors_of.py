"""The `data` of an embeddings reply: vectors in the order of the texts."""

from __future__ import annotations

import base64

import pytest

from streams.providers.voyage import vectors_of


def entry(data: bytes, **more: object) -> dict[str, object]:
    return {"object": "embedding", "embedding": base64.b64encode(data).decode(), **more}


def test_vectors_stand_where_their_index_says():
    data = [entry(b"cccc", index=2), entry(b"aaaa", index=0), entry(b"bbbb", index=1)]
    assert vectors_of(data) == [b"aaaa", b"bbbb", b"cccc"]


def test_without_any_index_they_stand_as_they_came():
    assert vectors_of([entry(b"bbbb"), entry(b"aaaa")]) == [b"bbbb", b"aaaa"]


def test_floats_are_handed_on():
    assert vectors_of([{"embedding": [0.5], "index": 0}]) == [[0.5]]


@pytest.mark.parametrize("indices", [(0, 0), (1, 2), (-1, 0), (0, None), ("1", "0"), (0.5, 1)])
def test_indices_that_do_not_number_the_vectors_spoil_the_reply(indices):
    assert vectors_of([entry(b"aaaa", index=index) for index in indices]) is None


@pytest.mark.parametrize("data", [None, "abc", {}, [None], [[0.5]]])
def test_what_is_no_list_of_entries_is_no_vectors(data):
    assert vectors_of(data) is None


def test_what_is_no_base64_costs_its_own_vector():
    data = [{"embedding": "%%%", "index": 0}, entry(b"aaaa", index=1), {"index": 2}]
    assert vectors_of(data) == [b"", b"aaaa", None]
