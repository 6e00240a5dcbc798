"""The Voyage endpoints: embeddings, contextualizedembeddings, multimodalembeddings, rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams.simulator.calls import Call
from streams.simulator.catalogue import CONTEXTUALIZED, MULTIMODAL, RERANKERS, VOYAGE, VoyageModel
from streams.simulator.prompt import PromptItem
from streams.simulator.tokens import cut, estimate
from streams.simulator.unit_vectors import DTYPES, encoded, quantized, unit_vectors
from streams.simulator.wire import RefusalError, Reply

if TYPE_CHECKING:
    from streams.simulator.script import Rule
    from streams.simulator.simulation import Simulation

MAX_TEXTS: Final = 1000
_INPUT_TYPES: Final = (None, "query", "document")
_EMBEDDINGS_FIELDS: Final = frozenset(
    [
        "input",
        "model",
        "input_type",
        "truncation",
        "output_dtype",
        "output_dimension",
        "encoding_format",
    ]
)


def texts_in(body: Mapping[str, Any], endpoint: str) -> list[PromptItem]:
    """The texts of a request as items; their ids are their places."""
    found: Any = body.get("documents" if endpoint == "rerank" else "input", body.get("inputs"))
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return []
    if endpoint in ("contextualized", "multimodal"):
        found = [part for parts in found for part in _parts_of(parts)]
    return [PromptItem(place, text) for place, text in enumerate(found) if isinstance(text, str)]


def _parts_of(parts: Any) -> list[str]:
    """The chunks of a document, or one text for the content of a multimodal input."""
    if isinstance(parts, list):
        return [part for part in parts if isinstance(part, str)]
    content = parts.get("content") if isinstance(parts, dict) else None
    return [orjson.dumps(content).decode()] if content else []


async def embed(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/embeddings."""
    body = call.body
    unknown = next((name for name in body if name not in _EMBEDDINGS_FIELDS), None)
    if unknown is not None:
        raise RefusalError(400, f"Argument '{unknown}' is not supported by our API")
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RefusalError(400, "Argument 'input' must be a string or a list of strings")
    model = _model(body, VOYAGE)
    _check_count(texts)
    tokens = _charged_tokens(texts, model, body.get("truncation", True))
    _admit(simulation, call, model, sum(tokens))
    data = await _data(simulation, call, model, texts, rule)
    return Reply(200, _reply(data, model.name, sum(tokens)))


async def contextualized(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/contextualizedembeddings: documents as lists of chunks. The vectors are those of
    the chunks alone: their context changes nothing here."""
    body = call.body
    documents = body.get("inputs")
    if not isinstance(documents, list) or not all(isinstance(d, list) and d for d in documents):
        raise RefusalError(400, "Argument 'inputs' must be a list of lists of strings")
    model = _model(body, CONTEXTUALIZED)
    texts = [text for document in documents for text in document]
    _check_count(documents)
    tokens = _charged_tokens(texts, model, True)
    _admit(simulation, call, model, sum(tokens))
    rows = iter(await _data(simulation, call, model, texts, rule))
    data = []
    for place, document in enumerate(documents):
        chunks = [{**next(rows), "index": index} for index in range(len(document))]
        data.append({"object": "list", "data": chunks, "index": place})
    return Reply(200, _reply(data, model.name, sum(tokens)))


async def multimodal(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/multimodalembeddings. Images are bytes without meaning here: their vectors come from
    their JSON."""
    body = call.body
    model = _model(body, MULTIMODAL)
    texts = [item.text for item in call.items]
    _check_count(texts)
    body = {**body, "encoding_format": body.get("output_encoding")}
    call.body = body
    tokens = _charged_tokens(texts, model, True)
    _admit(simulation, call, model, sum(tokens))
    data = await _data(simulation, call, model, texts, rule)
    total = sum(tokens)
    usage = {"text_tokens": total, "image_pixels": 0, "video_pixels": 0, "total_tokens": total}
    return Reply(
        200, orjson.dumps({"object": "list", "data": data, "model": model.name, "usage": usage})
    )


async def rerank(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/rerank: cosine with the encoder, else by hash; best first."""
    body = call.body
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list):
        raise RefusalError(
            400, "Arguments 'query' (a string) and 'documents' (a list) are required"
        )
    model = _model(body, RERANKERS)
    _check_count(documents)
    tokens = estimate(query) * len(documents) + sum(estimate(text) for text in documents)
    _admit(simulation, call, model, tokens)
    vectors = await unit_vectors([query, *documents], 512, simulation.encoder, simulation.seed)
    query_vector = vectors[0]
    scores = [
        round((1 + sum(a * b for a, b in zip(query_vector, vector, strict=True))) / 2, 6)
        for vector in vectors[1:]
    ]
    order = sorted(range(len(documents)), key=lambda place: (-scores[place], place))
    data = []
    for place in order[: body.get("top_k") or len(documents)]:
        row: dict[str, Any] = {"relevance_score": scores[place], "index": place}
        if body.get("return_documents"):
            row["document"] = documents[place]
        data.append(row)
    call.answered = len(documents)
    return Reply(200, _reply(_shortened(data, rule), model.name, tokens))


def _model(body: Mapping[str, Any], models: Mapping[str, VoyageModel]) -> VoyageModel:
    name = body.get("model")
    model = models.get(name) if isinstance(name, str) else None
    if model is None:
        names = ", ".join(models)
        raise RefusalError(400, f"Model {name} is not supported. Supported models are [{names}].")
    if body.get("input_type") not in _INPUT_TYPES:
        raise RefusalError(400, "Argument 'input_type' must be null, 'query' or 'document'")
    dimension = body.get("output_dimension")
    if dimension is not None and dimension not in model.dimensions:
        allowed = sorted(model.dimensions)
        raise RefusalError(
            400, f"Value {dimension} of 'output_dimension' is invalid; use {allowed}"
        )
    if body.get("output_dtype") not in (None, *DTYPES):
        raise RefusalError(400, f"Argument 'output_dtype' must be one of {', '.join(DTYPES)}")
    if body.get("encoding_format") not in (None, "base64"):
        raise RefusalError(400, "Argument 'encoding_format' must be null or 'base64'")
    return model


def _check_count(texts: Sequence[Any]) -> None:
    if not texts:
        raise RefusalError(400, "Input cannot be an empty list")
    if len(texts) > MAX_TEXTS:
        raise RefusalError(
            400,
            f"The batch size limit is {MAX_TEXTS}. Your batch size is {len(texts)}.",
        )


def _charged_tokens(texts: Sequence[str], model: VoyageModel, truncation: Any) -> list[int]:
    """The tokens of each text after truncation. Raises RefusalError (400) above limits."""
    tokens = [estimate(text) for text in texts]
    if truncation is False and max(tokens) > model.context:
        raise RefusalError(
            400,
            f"The example at index {tokens.index(max(tokens))} in your batch has too many tokens "
            f"and does not fit into the model's context window of {model.context} tokens.",
        )
    tokens = [min(count, model.context) for count in tokens]
    if sum(tokens) > model.request_tokens:
        raise RefusalError(
            400,
            f"The max allowed tokens per submitted batch is {model.request_tokens}. Your batch has "
            f"{sum(tokens)} tokens after truncation.",
        )
    return tokens


def _admit(simulation: Simulation, call: Call, model: VoyageModel, tokens: int) -> None:
    """Asks the limits and notes the cost."""
    simulation.limits.admit(call, model.name, tokens, simulation.now(), simulation.wall())
    call.input_tokens = tokens
    call.cost_nano_usd = tokens * model.price


async def _data(
    simulation: Simulation,
    call: Call,
    model: VoyageModel,
    texts: Sequence[str],
    rule: Rule | None,
) -> list[dict[str, Any]]:
    """The rows of the reply, corrupted as the rule says."""
    body = call.body
    dimension = body.get("output_dimension") or model.dimensions[0]
    if rule is not None and rule.fault == "wrong_dimension":
        dimension //= 2
    texts = [
        text if estimate(text) <= model.context else cut(text, model.context) for text in texts
    ]
    vectors = await unit_vectors(texts, dimension, simulation.encoder, simulation.seed)
    dtype = body.get("output_dtype") or "float"
    plain = body.get("encoding_format") is None
    rows: list[dict[str, Any]] = []
    for index, vector in enumerate(vectors):
        values = quantized(vector, dtype)
        rows.append(
            {
                "object": "embedding",
                "embedding": values.tolist() if plain else encoded(values),
                "index": index,
            }
        )
    if rule is not None and rule.fault == "reordered_index":
        rows.reverse()
    rows = _shortened(rows, rule)
    call.answered = len(rows)
    return rows


def _shortened(rows: list[dict[str, Any]], rule: Rule | None) -> list[dict[str, Any]]:
    """The rows without the last `count` where the rule asks for a short reply."""
    if rule is not None and rule.fault == "short_reply":
        return rows[: max(len(rows) - rule.count, 0)]
    return rows


def _reply(data: Sequence[Any], model: str, tokens: int) -> bytes:
    return orjson.dumps(
        {"object": "list", "data": data, "model": model, "usage": {"total_tokens": tokens}}
    )
