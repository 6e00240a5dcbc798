"""`mode = "merge"`: the source's own bytes with the result spliced in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.splice import Enrichment, NotAnObjectError

from .samples import encoded, item_of

RESULT = {"label": "positive"}
ADDED = b'"enrichment":{"sentiment":{"label":"positive"}}'


def splice(document: bytes, task: str = "sentiment") -> bytes:
    return Enrichment(task).splice(document, b'{"label":"positive"}')


@pytest.mark.parametrize(
    ("source", "merged"),
    [
        (b"{}", b"{%b}"),
        (b" { } ", b" { %b} "),
        (b'{"text":"x"}', b'{"text":"x",%b}'),
        (b'\t{"text": "x" }\r\n', b'\t{"text": "x" ,%b}\r\n'),
        (b'{"n":1.10,"n":123456789012345678901234}', b'{"n":1.10,"n":123456789012345678901234,%b}'),
        (b'{"text":"}"}', b'{"text":"}",%b}'),
        (b'{"a":{"enrichment":{"sentiment":1}}}', b'{"a":{"enrichment":{"sentiment":1}},%b}'),
        (b'{"text":"\\"enrichment\\":{"}', b'{"text":"\\"enrichment\\":{",%b}'),
        (b'{"enrichment ":{}}', b'{"enrichment ":{},%b}'),
        (b'{"text":"\\ud800"}', b'{"text":"\\ud800",%b}'),
    ],
)
def test_the_enrichment_becomes_the_last_member_and_every_other_byte_stays(
    source: bytes, merged: bytes
) -> None:
    assert splice(source) == merged.replace(b"%b", ADDED)


@pytest.mark.parametrize(
    ("source", "merged"),
    [
        (b'{"enrichment":{}}', b'{"enrichment":{"sentiment":R}}'),
        (b'{"enrichment": { } , "z":1}', b'{"enrichment": { "sentiment":R} , "z":1}'),
        (b'{"enrichment":{"a":"}"},"z":1}', b'{"enrichment":{"a":"}","sentiment":R},"z":1}'),
        (b'{"enrichment":{"sentiment": 1 }}', b'{"enrichment":{"sentiment": R }}'),
        (
            b'{"enrichment":{"sentiment":[{"]":1}], "b":2}}',
            b'{"enrichment":{"sentiment":R, "b":2}}',
        ),
        (b'{"enrichment": null }', b'{"enrichment": {"sentiment":R} }'),
        (
            b'{"\\u0065nrichment":{"\\u0073entiment":0}}',
            b'{"\\u0065nrichment":{"\\u0073entiment":R}}',
        ),
        # Of a repeated key the last one counts, as parsers read it.
        (
            b'{"enrichment":5,"enrichment":{"a":1}}',
            b'{"enrichment":5,"enrichment":{"a":1,"sentiment":R}}',
        ),
        (
            b'{"enrichment":{"sentiment":1,"sentiment":2}}',
            b'{"enrichment":{"sentiment":1,"sentiment":R}}',
        ),
    ],
)
def test_a_task_joins_the_enrichment_that_is_there_or_replaces_its_own_result(
    source: bytes, merged: bytes
) -> None:
    assert splice(source) == merged.replace(b"R", b'{"label":"positive"}')


@pytest.mark.parametrize("value", [b"1", b'"x"', b"[{}]", b"true", b'"{}"'])
def test_an_enrichment_of_another_kind_is_never_overwritten(value: bytes) -> None:
    source = b'{"text":"x","enrichment":%b}' % value
    with pytest.raises(NotAnObjectError):
        splice(source)
    record, error = encoded(item_of(source), RESULT, mode="merge")
    assert error.code == "merge_conflict"
    assert record[1] == source


def test_a_task_of_any_name_is_written_as_json() -> None:
    assert json.loads(splice(b"{}", 'a"é\n')) == {"enrichment": {'a"é\n': RESULT}}


def test_a_merged_record_keeps_key_headers_and_timestamp() -> None:
    item = item_of(b'{"text":"x"}', key=b"\xff", headers=(("h", None), ("h", b"\xfe")))
    record, error = encoded(item, RESULT, mode="merge")
    assert error is None
    assert record == (
        b"\xff",
        b'{"text":"x",%b}' % ADDED,
        (("h", None), ("h", b"\xfe")),
        1_790_000_000_000,
    )


def test_what_a_function_did_to_the_decoded_value_does_not_show() -> None:
    item = item_of(b'{"text":"x","enrichment":{"a":1}}')
    item.value.clear()
    record, _ = encoded(item, RESULT, mode="merge")
    assert json.loads(record[1])["enrichment"] == {"a": 1, "sentiment": RESULT}


def test_deep_and_long_documents_are_scanned_without_recursion_or_backtracking() -> None:
    deep = b'{"a":' + b"[" * 900 + b"]" * 900 + b',"enrichment":{}}'
    assert splice(deep).endswith(b',"enrichment":{"sentiment":{"label":"positive"}}}')
    long = b'{"a":"' + b'\\"{' * 300_000 + b'","enrichment":{}}'
    assert splice(long).endswith(b',"enrichment":{"sentiment":{"label":"positive"}}}')


STRINGS = st.text(st.sampled_from('{}[]",:\\ enrichment\u00e9\U0001f600\x01'), max_size=8)
KEYS = STRINGS | st.sampled_from(["enrichment", "sentiment", "text"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
NEW = '{"label":"positive"}'


class Writer:
    """Writes JSON in any of the ways that RFC 8259 allows: whitespace and escapes."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw

    def space(self) -> str:
        return self.draw(st.sampled_from(["", "", " ", "\n\t", "\r "]))

    def string(self, text: str) -> str:
        if self.draw(st.booleans()):
            units = text.encode("utf-16-be")
            pairs = (units[n : n + 2].hex() for n in range(0, len(units), 2))
            return '"' + "".join(f"\\u{pair}" for pair in pairs) + '"'
        return json.dumps(text, ensure_ascii=self.draw(st.booleans()))

    def write(self, value: Any) -> str:
        if isinstance(value, list):
            parts = [self.space() + self.write(child) + self.space() for child in value]
            return f"[{','.join(parts) or self.space()}]"
        if isinstance(value, dict):
            return f"{{{self.members(value) or self.space()}}}"
        return self.string(value) if isinstance(value, str) else json.dumps(value)

    def members(self, value: dict[str, Any]) -> str:
        return ",".join(self.member(key, self.write(child)) for key, child in value.items())

    def member(self, key: str, value: str) -> str:
        space = self.space
        return f"{space()}{self.string(key)}{space()}:{space()}{value}{space()}"

    def hole(self, name: str) -> tuple[str, str]:
        """The inside of an object, before and behind the value of its last member of that name."""
        others = st.dictionaries(KEYS.filter(lambda key: key != name), VALUES, max_size=3)
        before = self.members(self.draw(st.dictionaries(KEYS, VALUES, max_size=3)))
        behind = self.members(self.draw(others))
        left, right = self.member(name, "\0").split("\0")
        return f"{before},{left}" if before else left, f"{right},{behind}" if behind else right


@given(st.dictionaries(KEYS.filter(lambda key: key != "enrichment"), VALUES), st.data())
def test_into_any_object_without_an_enrichment_it_goes_before_the_last_brace(
    value: dict[str, Any], data: st.DataObject
) -> None:
    writer = Writer(data)
    ahead, inside, behind = writer.space(), writer.members(value) or writer.space(), writer.space()
    comma = "," if value else ""
    merged = splice(f"{ahead}{{{inside}}}{behind}".encode())
    assert (
        merged.decode() == f'{ahead}{{{inside}{comma}"enrichment":{{"sentiment":{NEW}}}}}{behind}'
    )
    assert json.loads(merged) == value | {"enrichment": {"sentiment": RESULT}}


@given(st.sampled_from(["null", "another task", "the same task"]), st.data())
def test_into_any_enrichment_it_goes_without_touching_another_byte(
    there: str, data: st.DataObject
) -> None:
    writer = Writer(data)
    left, right = writer.hole("enrichment")
    if there == "null":
        old, new = "null", f'{{"sentiment":{NEW}}}'
    elif there == "another task":
        inner = {key: 1 for key in data.draw(st.lists(STRINGS, max_size=3)) if key != "sentiment"}
        inside = writer.members(inner) or writer.space()
        comma = "," if inner else ""
        old, new = f"{{{inside}}}", f'{{{inside}{comma}"sentiment":{NEW}}}'
    else:
        inner_left, inner_right = writer.hole("sentiment")
        earlier = writer.write(data.draw(VALUES))
        old = f"{{{inner_left}{earlier}{inner_right}}}"
        new = f"{{{inner_left}{NEW}{inner_right}}}"
    source, expected = f"{{{left}{old}{right}}}", f"{{{left}{new}{right}}}"
    assert splice(source.encode()).decode() == expected
    value = json.loads(source)
    enrichment = (value["enrichment"] or {}) | {"sentiment": RESULT}
    assert json.loads(expected) == value | {"enrichment": enrichment}
