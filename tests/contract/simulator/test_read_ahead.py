"""`POST /simulator/read`: the encoder reads texts before they are asked about."""

from __future__ import annotations

import asyncio
import json
from urllib import error, request

import pytest

from streams.simulator import SimulatorSettings, serve
from streams.simulator.encoder import READ_CHARACTERS, installed


def _post(url: str, body: bytes) -> tuple[int, dict]:
    try:
        with request.urlopen(request.Request(url, data=body, method="POST")) as reply:
            return reply.status, json.loads(reply.read())
    except error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


@pytest.mark.skipif(not installed(), reason="needs the extra `offline`")
async def test_texts_that_were_read_ahead_are_remembered_by_their_beginning():
    simulator = await serve(SimulatorSettings(answers="offline"))
    try:
        text = "where is my parcel? " * 20
        body = json.dumps([text]).encode()
        done = await asyncio.to_thread(_post, f"{simulator.url}/simulator/read", body)
        assert done == (200, {"texts": 1})
        assert text[:READ_CHARACTERS] in simulator.simulation.encoder._cache
    finally:
        await simulator.stop()


@pytest.mark.parametrize("body", [b"{", b'{"a": 1}', b"[1]"])
async def test_what_is_no_list_of_texts_is_refused(body):
    simulator = await serve(SimulatorSettings(answers="hash"))
    try:
        status, reply = await asyncio.to_thread(_post, f"{simulator.url}/simulator/read", body)
        assert status == 400
        assert "error" in reply
    finally:
        await simulator.stop()
