"""The Voyage endpoints as the Voyage SDK sees them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import voyageai

from streams.simulator.unit_vectors import hashed


def cosine(first, second):
    return float(np.dot(first, second) / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.mark.parametrize("dimension", [256, 512, 1024, 2048])
async def test_every_text_gets_a_unit_vector_of_the_dimension_asked_for(start, voyage, dimension):
    client = voyage(await start())
    asked = [f"text {number}" for number in range(10)]
    reply = await client.embed(asked, "voyage-4", input_type="document", output_dimension=dimension)
    assert [len(vector) for vector in reply.embeddings] == [dimension] * 10
    assert all(math.isclose(np.linalg.norm(v), 1, abs_tol=1e-5) for v in reply.embeddings)
    assert max(abs(cosine(reply.embeddings[0], v)) for v in reply.embeddings[1:]) < 0.3
    assert reply.total_tokens == 20


async def test_the_same_text_has_the_same_vector_in_every_call_and_place(start, voyage):
    client = voyage(await start())
    first = await client.embed(["a", "b"], "voyage-4")
    second = await client.embed(["b"], "voyage-4")
    assert first.embeddings[1] == second.embeddings[0]
    assert len(second.embeddings[0]) == 1024


async def test_base64_and_plain_numbers_are_the_same_vector(start):
    import base64

    import aiohttp

    simulator = await start()
    body = {"input": "one text", "model": "voyage-4", "output_dimension": 256}
    found = []
    async with aiohttp.ClientSession(headers={"authorization": "Bearer k"}) as session:
        for more in ({}, {"encoding_format": "base64"}):
            url = f"{simulator.voyage_url}/embeddings"
            async with session.post(url, json={**body, **more}) as response:
                found.append((await response.json())["data"][0]["embedding"])
    plain, encoded = found
    assert plain == list(np.frombuffer(base64.b64decode(encoded), "<f4"))


async def test_without_the_encoder_a_vector_is_the_stated_hash(start, voyage):
    import hashlib

    client = voyage(await start(seed=5))
    reply = await client.embed(["wörd"], "voyage-4", output_dimension=256)
    digest = hashlib.shake_256(b"5\0" + "wörd".encode()).digest(512)
    wide = np.frombuffer(digest, "<i2").astype(float)
    assert np.allclose(reply.embeddings[0], wide / np.linalg.norm(wide), atol=1e-7)


@pytest.mark.parametrize("dimension", [256, 2048])
def test_vectors_by_hash_are_the_same_without_numpy(monkeypatch, dimension):
    """To the last bit: the server's answers do not depend on what is installed."""
    fast = hashed("some text", dimension, 1)
    monkeypatch.setattr("streams.simulator.unit_vectors.numpy_if_there", lambda: None)
    assert hashed("some text", dimension, 1) == fast


@pytest.mark.parametrize(
    ("dtype", "numbers", "low", "high"),
    [
        ("int8", 256, -128, 127),
        ("uint8", 256, 0, 255),
        ("binary", 32, -128, 127),
        ("ubinary", 32, 0, 255),
    ],
)
async def test_quantized_vectors_are_whole_numbers_in_range(
    start, voyage, dtype, numbers, low, high
):
    client = voyage(await start())
    reply = await client.embed(["x y"], "voyage-4", output_dimension=256, output_dtype=dtype)
    vector = reply.embeddings[0]
    assert len(vector) == numbers
    assert all(isinstance(number, int) and low <= number <= high for number in vector)
    assert len(set(vector)) > 8


async def test_binary_vectors_hold_the_signs(start, voyage):
    client = voyage(await start())
    floats = (await client.embed(["x"], "voyage-4", output_dimension=256)).embeddings[0]
    packed = await client.embed(["x"], "voyage-4", output_dimension=256, output_dtype="ubinary")
    signs = np.unpackbits(np.array(packed.embeddings[0], dtype="uint8"))
    assert signs.tolist() == [int(number > 0) for number in floats]


REFUSED = {
    "1001 texts": ({"texts": ["x"] * 1001}, "batch size limit is 1000"),
    "no texts": ({"texts": []}, "empty list"),
    "an unknown model": ({"model": "voyage-none"}, "not supported"),
    "a dimension not on offer": ({"output_dimension": 300}, "output_dimension"),
    "too many tokens": (
        {"texts": ["word " * 20_000] * 5, "model": "voyage-4-large"},
        "max allowed",
    ),
    "a text too long to keep whole": (
        {"texts": ["word " * 30_000], "truncation": False},
        "context window",
    ),
    "an unknown dtype": ({"output_dtype": "float64"}, "output_dtype"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_is_refused_with_400_and_a_detail(start, voyage, what):
    """Each of these is an InvalidRequestError with the API's words."""
    changes, word = REFUSED[what]
    client = voyage(await start())
    with pytest.raises(voyageai.error.InvalidRequestError, match=word) as caught:
        await client.embed(**{"texts": ["x"], "model": "voyage-4", **changes})
    assert caught.value.http_status == 400
    assert set(caught.value.json_body) == {"detail"}


async def test_a_long_text_is_cut_and_charged_as_cut(start, voyage):
    client = voyage(await start())
    long = "word " * 30_000
    reply = await client.embed([long], "voyage-4", truncation=True)
    assert reply.total_tokens == 32_000
    same_beginning = await client.embed([long[:112_000] + "x"], "voyage-4")
    assert reply.embeddings == same_beginning.embeddings


async def test_reranking_puts_the_best_first_and_names_places(start, voyage):
    client = voyage(await start())
    reply = await client.rerank("query", ["one", "two", "query", "four"], "rerank-2.5", top_k=3)
    assert len(reply.results) == 3
    assert reply.results[0].index == 2
    assert reply.results[0].relevance_score == pytest.approx(1)
    scores = [result.relevance_score for result in reply.results]
    assert scores == sorted(scores, reverse=True)


async def test_chunks_of_documents_get_vectors_by_document(start, voyage):
    client = voyage(await start())
    reply = await client.contextualized_embed(
        [["a", "b"], ["c"]], model="voyage-context-3", input_type="document"
    )
    assert [len(result.embeddings) for result in reply.results] == [2, 1]


async def test_multimodal_inputs_get_a_vector_each(start, voyage):
    client = voyage(await start())
    reply = await client.multimodal_embed([["a text"], ["another"]], "voyage-multimodal-3.5")
    assert [len(vector) for vector in reply.embeddings] == [1024, 1024]
