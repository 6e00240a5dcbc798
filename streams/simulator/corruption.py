"""Plays a fault into an answer: wrong records, wrong text, wrong content."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from streams.simulator.calls import Draft
from streams.simulator.fault_names import RECORDS
from streams.simulator.prompt import PromptItem
from streams.simulator.script import Rule
from streams.simulator.synthesis import Answer

UNKNOWN_ID: Final = "no-such-id"
OUTSIDE: Final = "none of these"
_UNUSABLE: Final = frozenset(("missing", "conflicting", "unknown_id", "outside_enum", "wrong_type"))
"""Faults that leave their items without a usable record."""


def corrupt_records(
    answer: Answer,
    schema: Mapping[str, Any] | None,
    items: Sequence[PromptItem],
    rule: Rule,
    n: int,
) -> int:
    """Changes the records as the rule says; returns how many items still have a valid one."""
    records = _list_of_records(answer.root, answer.records)
    if rule.fault not in RECORDS or records is None or not items:
        return len(items) if answer.records else 0
    places = rule.chosen(items, n)
    _change(records, places, rule.fault, schema or {})
    unusable = len(places) if rule.fault in _UNUSABLE else 0
    return 0 if rule.fault == "contagion" else len(items) - unusable


def _list_of_records(root: Any, records: Sequence[Any]) -> list[dict[str, Any]] | None:
    """The list within `root` that holds these very records."""
    if not records:
        return None
    stack = [root]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            if value and value[0] is records[0]:
                return value
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
    return None


def _change(
    records: list[dict[str, Any]], places: list[int], fault: str, schema: Mapping[str, Any]
) -> None:
    if fault == "missing":
        records[:] = [record for place, record in enumerate(records) if place not in places]
    elif fault == "duplicate":
        records.extend(dict(records[place]) for place in places)
    elif fault == "conflicting":
        records.extend(_differing(records[place], schema) for place in places)
    elif fault == "extra":
        records.append({**records[0], "id": _strange_id(records[0]["id"])})
    elif fault == "reordered":
        records.reverse()
    elif fault == "contagion":
        values = {name: value for name, value in records[places[0]].items() if name != "id"}
        for record in records:
            record.update(copy.deepcopy(values))
    else:
        for place in places:
            _corrupt(records[place], fault, schema)


def _corrupt(record: dict[str, Any], fault: str, schema: Mapping[str, Any]) -> None:
    if fault == "unknown_id":
        record["id"] = _strange_id(record["id"])
    elif fault == "wrong_type":
        name = next((name for name in record if name != "id"), None)
        if name is not None:
            record[name] = 7 if isinstance(record[name], str) else "seven"
    else:
        for container, name, _ in _enums(record, schema):
            value = container[name]
            container[name] = OUTSIDE if fault == "outside_enum" else str(value).swapcase()


def _strange_id(real: Any) -> Any:
    return UNKNOWN_ID if isinstance(real, str) else -1


def _differing(record: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that says something else, and is valid as well where there is a second label."""
    changed = copy.deepcopy(record)
    for container, name, values in _enums(changed, schema):
        old = container[name]
        container[name] = next((value for value in values if value != old), old)
    if changed == record:
        name = next((name for name in record if isinstance(record[name], str) and name != "id"), "")
        changed[name or "id"] = f"{record.get(name, '')} (again)"
    return changed


def _enums(
    record: dict[str, Any], schema: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], str, Sequence[Any]]]:
    """The members of a record, and of objects within it, that are words out of a list: the object,
    the member's name, the list."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    for name, part in properties.items():
        if name == "id" or name not in record or not isinstance(part, dict):
            continue
        if "enum" in part:
            yield record, name, part["enum"]
        elif isinstance(record[name], dict):
            yield from _enums(record[name], part)


def corrupt_text(text: str, rule: Rule) -> str:
    """The answer's text as the rule spoils it."""
    if rule.fault == "fenced":
        return f"```json\n{text}\n```"
    if rule.fault == "trailing_prose":
        return f"{text}\n\nEach item was judged by itself."
    if rule.fault == "invalid_json":
        return text.replace('"', "'")
    return text


def mark_content(draft: Draft, rule: Rule) -> None:
    """Everything else about a message that a rule can spoil."""
    if rule.fault == "refusal":
        draft.text = draft.text[: len(draft.text) // 2] if rule.partial else ""
        draft.stop_reason = "refusal"
        draft.stop_details = {
            "type": "refusal",
            "category": "general_harms",
            "explanation": "The request was declined.",
        }
    elif rule.fault == "thinking_first":
        draft.thinking_tokens = draft.thinking_tokens or 24
    elif rule.fault == "unknown_block":
        draft.before = [{"type": "brand_new", "payload": {"of": "a later version"}}]
    elif rule.fault == "empty_content":
        draft.text, draft.thinking_tokens = "", 0
    if rule.fault in ("refusal", "empty_content", "invalid_json"):
        draft.answered = 0
