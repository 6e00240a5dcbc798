"""JSON Pointers as RFC 6901 has them, and templates made of them."""

from __future__ import annotations

from typing import Any

import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.pointers import MissingError, Pointer, Text

# RFC 6901, section 5.
DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_examples_of_the_rfc_hold(pointer: str, value: Any) -> None:
    assert Pointer(pointer).find(DOCUMENT) == value


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-", "/foo/00", "/foo/x", "/foo/0/b", "/bar"])
def test_what_is_not_there_is_missing(pointer: str) -> None:
    with pytest.raises(MissingError, match=pointer):
        Pointer(pointer).find(DOCUMENT)


def test_digits_name_a_member_where_an_object_stands() -> None:
    assert Pointer("/a/0").find({"a": {"0": "x"}}) == "x"
    assert Pointer("/a/" + "9" * 5_000).find({"a": {"9" * 5_000: "x"}}) == "x"
    with pytest.raises(MissingError):
        Pointer("/a/" + "9" * 5_000).find({"a": []})


@pytest.mark.parametrize("pointer", ["", "text", "#/text", "/a~2b", "/a~"])
def test_what_is_no_pointer_is_refused_when_compiled(pointer: str) -> None:
    with pytest.raises(ValueError, match="not a JSON Pointer"):
        Pointer(pointer)


@pytest.mark.parametrize("template", ["text", "", "{text}", "{}"])
def test_a_template_without_a_pointer_is_refused_when_compiled(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        Text(template)


def test_only_pointers_in_braces_are_parts_of_a_template() -> None:
    text = Text("{{/a}} {x} {/b~1c}")
    assert text.find({"a": 1, "b/c": "two"}) == "{1} {x} two"
    with pytest.raises(ValueError, match="not a JSON Pointer"):
        Text("{/a~9}")


NAMES = st.sampled_from(["", "0", "1", "a", "~", "/", "a/b", "~1"])
DOCUMENTS = st.recursive(
    st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner)
)


@given(DOCUMENTS, st.lists(NAMES, min_size=1, max_size=3))
def test_a_pointer_finds_what_the_reference_library_finds(document: Any, names: list[str]) -> None:
    source = jsonpointer.JsonPointer.from_parts(names).path
    nothing = object()
    expected = jsonpointer.resolve_pointer(document, source, nothing)
    try:
        found = Pointer(source).find(document)
    except MissingError:
        found = nothing
    assert found is expected
