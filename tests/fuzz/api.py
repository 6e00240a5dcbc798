"""An API that breaks: for each request a reply as bytes on the wire, good, spoilt or an error."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
from random import Random
from typing import Any, NamedTuple

from tests.fuzz.mutations import (
    as_bytes,
    odd,
    spoil_bytes,
    spoil_members,
    spoil_records,
    spoil_text,
)

STATUSES = (
    *(300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 407, 408, 409, 413, 418, 421, 422, 423, 424, 425, 429),
    *(460, 498, 499, 500, 501, 502, 503, 504, 520, 529, 599),
)
LOCATIONS = ("", "/", "/v1/messages", "https://login.test/", "http://[", "//", "?", "\x00")
PAGES = (b"", b" ", b"<html>sign in</html>", b"OK", b"null", b"[]", b"{}", b"7", b'"yes"',
         b'{"ok": true}', b'{"choices": []}', b'{"error": "busy"}', b'{"detail": "no"}',
         b'{"type": "error"}', b'{"type": "error", "content": []}')  # fmt: skip
MESSAGES = (
    "messages.0: the text is not allowed",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "You have reached your specified API usage limits.",
    "Schema is too complex for compilation.",
    "model: not found",
    "The text 'billing: my credit balance is too low' is not allowed",
    "",
)
WAITS = ("0", "1", "7", "0.5", "-1", "nan", "inf", "1e999", "", "soon", "9" * 400,
         "Sun, 22 Nov 2026 12:00:30 GMT", "Sun, 99 Nov 2026 12:00:30 GMT")  # fmt: skip
REASONS = ("max_tokens", "max_tokens", "refusal", "model_context_window_exceeded", "end_turn",
           "stop_sequence", "tool_use", "pause_turn", None, 0, [], {}, "of next year")  # fmt: skip
MEMBER = {"classify": "label", "extract": "data", "generate": "text"}
DIMENSION = 4


class Wire(NamedTuple):
    """One HTTP response; status 0: none, the connection is lost."""

    status: int
    headers: dict[str, str]
    body: bytes


DIGITS = re.compile(r'"@([^"]+)"')
"""A number with digits that Python would not write: `"@1.10"` stands for it until it is sent."""
DATA: dict[str, list[tuple[Any, str | None]]] = {
    "label": [("yes", '{"label":"yes"}'), ("no", '{"label":"no"}'), (" YES ", '{"label":"yes"}'),
              ("No", '{"label":"no"}'), ("maybe", None)],
    "text": [(text, json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")))
             for text in ("A text.", "", 'with "quotes" and } { ] [', "é\u2028😀\\")],
    "data": [({"tone": "Warm", "price": 1.5, "tags": ["a"]},
              '{"tone":"Warm","price":1.5,"tags":["a"]}'),
             ({"tone": "WARM"}, '{"tone":"Warm"}'),
             ({"tone": "cafe\u0301"}, '{"tone":"café"}'),
             *(({"price": f"@{digits}"}, f'{{"price":{digits}}}')
               for digits in ("0.29", "1.10", "99.99", "1e400", "12345678901234567890.25", "0")),
             *(({"serial": f"@{digits}"}, f'{{"serial":{digits}}}')
               for digits in ("9400111899223100012345", "-18446744073709551617", "1.0",
                              "9" * 5_000)),
             ({"price": "@0.001"}, None), ({"price": -1}, None), ({"serial": "@1.5"}, None),
             ({"tags": [1, True, 1.0]}, None), ({}, "{}")],
}  # fmt: skip
"""Values of a record, each with the result that it has to become; None: it breaks the schema."""


class BrokenApi:
    """`patience`: after so many spoilt replies it answers well, so that every round ends. `right`:
    the results that the last reply holds beyond doubt, by the place of their items."""

    def __init__(self, random: Random, operation: str, patience: int) -> None:
        self._random = random
        self._member = MEMBER.get(operation, "")
        self._patience = patience
        self.replies = 0
        self.right: dict[int, Any] = {}

    def answer(self, count: int, *, embeds: bool) -> Wire:
        """The reply to a request about `count` items."""
        self.replies += 1
        self.right = {}
        random = self._random
        spoils = self.replies <= self._patience and random.random() < 0.9
        if spoils and random.random() < 0.08:
            return self._failure()
        if spoils and random.random() < 0.04:
            return self._disguise()
        times = random.choice([1, 1, 1, 2, 4]) if spoils else 0
        body = self._vectors(count, times) if embeds else self._message(count, times)
        return Wire(200, {"content-type": "application/json"}, body)

    def _failure(self) -> Wire:
        random = self._random
        if random.random() < 0.2:
            return Wire(0, {}, b"")
        error = {"type": "e", "message": random.choice(MESSAGES), "details": {"error_code": "x"}}
        body = random.choice([{"type": "error", "error": error}, {"detail": error["message"]}])
        written = as_bytes(spoil_members(random, body, random.choice([0, 0, 1, 2])))
        names = random.sample(["retry-after", "retry-after-ms", "date", "request-id",
                               "anthropic-ratelimit-requests-remaining",
                               "anthropic-ratelimit-requests-reset"], 2)  # fmt: skip
        headers = {name: random.choice(WAITS) for name in names}
        if random.random() < 0.5:
            headers["location"] = random.choice(LOCATIONS)
        if random.random() < 0.5:
            headers["x-should-retry"] = random.choice(["true", "false", "", "TRUE", "no"])
        return Wire(
            random.choice(STATUSES), headers, spoil_bytes(random, written, random.choice([0, 0, 1]))
        )

    def _disguise(self) -> Wire:
        """A success that is no message of the API."""
        random = self._random
        kind = random.random()
        status, headers = random.choice([200, 200, 201, 202, 204, 206]), {}
        body = random.choice(PAGES)
        if kind < 0.3:
            error = {"type": random.choice(["overloaded_error", "api_error", "x"]), "message": "no"}
            body = as_bytes(spoil_members(random, {"type": "error", "error": error}, kind < 0.1))
        elif kind < 0.5:
            body = gzip.compress(b'{"type": "message", "content": []}')
            body = body[: random.randrange(len(body))]
            headers = {"content-encoding": random.choice(["gzip", "deflate", "br", "zstd"])}
        return Wire(status, headers, body)

    # -- Claude ----------------------------------------------------------------------------------

    def _message(self, count: int, times: int) -> bytes:
        random = self._random
        where = random.choice(["records", "records", "text", "text", "blocks", "message", "bytes",
                               "wrapped", "marked"])  # fmt: skip
        drawn = [random.choice(DATA[self._member]) for _ in range(count)]
        made = [{"id": str(n + 1), self._member: value} for n, (value, _) in enumerate(drawn)]
        records = [*made]
        if where == "records":
            spoil_records(random, records, times)
        text = DIGITS.sub(r"\1", json.dumps({"results": records}))
        if times == 0 or where in ("records", "wrapped", "marked"):
            self.right = _beyond_doubt(made, records, [result for _, result in drawn])
        if where == "wrapped":
            text = random.choice(
                ["\ufeff{}", "```json\n{}\n```", "Here you are:\n{}\nDone."]
            ).replace("{}", text)
        if where == "text":
            text = spoil_text(random, text, times)
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-5-5",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 50 * count, "output_tokens": 20 * count},
        }
        if times and random.random() < 0.4:
            message["stop_reason"] = random.choice(REASONS)
            if message["stop_reason"] in ("refusal", "model_context_window_exceeded"):
                self.right = {}
        if where == "blocks":
            message["content"] = self._blocks(text, times)
        if where == "message":
            spoil_members(random, message, times)
        body = (b"\xef\xbb\xbf" if where == "marked" else b"") + as_bytes(message)
        return spoil_bytes(random, body, times) if where == "bytes" else body

    def _blocks(self, text: str, times: int) -> Any:
        random = self._random
        cut = random.randrange(len(text) + 1)
        blocks: list[Any] = [
            {"type": "text", "text": text[:cut]},
            {"type": "text", "text": text[cut:]},
        ]
        for _ in range(times):
            new = random.choice([
                {"type": "thinking", "thinking": text, "signature": "s"},
                {"type": "brand_new", "text": text},
                {"type": "text", "text": odd(random)},
                {"type": odd(random), "text": text},
                odd(random),
            ])  # fmt: skip
            blocks.insert(random.randrange(len(blocks) + 1), new)
            if random.random() < 0.3:
                blocks.pop(random.randrange(len(blocks)))
        return blocks

    # -- Voyage ----------------------------------------------------------------------------------

    def _vectors(self, count: int, times: int) -> bytes:
        random = self._random
        where = random.choice(["data", "data", "vector", "message", "bytes", "marked"])
        data: list[Any] = [
            {"object": "embedding", "embedding": self._vector(), "index": n} for n in range(count)
        ]
        if times == 0 or where == "marked":
            self.right = {n: base64.b64decode(each["embedding"]) for n, each in enumerate(data)}
        if where == "data":
            data = self._spoil_data(data, times)
        elif where == "vector":
            for _ in range(times):
                random.choice(data)["embedding"] = random.choice([
                    odd(random), "%%%", "AAA=", "AAAA", [0.5] * DIMENSION, [10**400],
                    [float("nan")],
                    base64.b64encode(struct.pack("<2f", float("inf"), 1.0)).decode(),
                ])  # fmt: skip
        reply = {"object": "list", "data": data, "model": "voyage-4",
                 "usage": {"total_tokens": 7 * count}}  # fmt: skip
        if where == "message":
            spoil_members(random, reply, times)
        body = (b"\xef\xbb\xbf" if where == "marked" else b"") + as_bytes(reply)
        return spoil_bytes(random, body, times) if where == "bytes" else body

    def _vector(self) -> str:
        floats = [self._random.random() for _ in range(DIMENSION)]
        return base64.b64encode(struct.pack(f"<{DIMENSION}f", *floats)).decode()

    def _spoil_data(self, data: list[Any], times: int) -> list[Any]:
        random = self._random
        for _ in range(times):
            kind = random.random()
            if kind < 0.25 and data:
                data.pop(random.randrange(len(data)))
            elif kind < 0.5 and data:
                data.append(random.choice(data))
            elif kind < 0.7:
                random.shuffle(data)
            elif data:
                place = random.randrange(len(data))
                if isinstance(data[place], dict) and kind < 0.9:
                    data[place] = {**data[place], "index": odd(random)}
                else:
                    data[place] = odd(random)
        return data


def _beyond_doubt(made: list[Any], records: list[Any], results: list[str | None]) -> dict[int, Any]:
    """The results of those records that stand in the reply as they were made, and no others with
    their id."""
    by_id: dict[str, list[Any]] = {}
    for record in records:
        name = record.get("id") if isinstance(record, dict) else None
        if isinstance(name, str | int) and not isinstance(name, bool):
            by_id.setdefault(str(name).strip(), []).append(record)
    return {
        n: result
        for n, (record, result) in enumerate(zip(made, results, strict=True))
        if result is not None
        and (found := by_id.get(str(n + 1)))
        and all(other is record for other in found)
    }
