"""A pipeline over Kafka: documents in, the vectors of their chunks out, in each partition's order.

    export STREAMS_CONFIG=examples/streams.toml
    streams broker --port 9092          # for trying out; or your Kafka: docker compose up -d

    streams publish documents examples/reviews.csv               # in a second terminal
    streams simulate streams worker --app examples.stream_documents:app
    streams tail documents.vectors --count 1                     # in a third

With VOYAGE_API_KEY, leave out `streams simulate`. The offset of a record is committed when the
outcome of its last stage is durable: a worker that dies loses nothing. What fails at any stage
becomes a dead letter in `documents.dead`.
"""

from collections.abc import Sequence
from typing import Any

import streams
from streams import App

app = App.from_config()


def result(documents: Sequence[list[list[float]]]) -> list[dict[str, Any]]:
    """What is written for each document: any JSON value."""
    return [{"chunks": len(vectors), "vectors": vectors} for vectors in documents]


app.pipeline(
    name="vectors",
    source="documents",
    sink="documents.vectors",
    text="/review",
    stages=[
        streams.chunk(max_tokens=200, overlap=20),
        streams.stage(streams.embed("voyage-4", dimension=256), max_wait_ms=20, max_in_flight=5),
        streams.gather(),
        result,
    ],
)
