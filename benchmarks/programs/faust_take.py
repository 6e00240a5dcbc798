"""The same job as a Faust agent: `stream.take(100, within=0.05)`, one call per list, one `send` per
result. It is spared keys, order and waiting for acknowledgements.

Run with Faust's own arguments: `worker --without-web`.
"""

from __future__ import annotations

import logging
import os
import tempfile

import faust
import orjson

app = faust.App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_BROKER']}",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
    datadir=tempfile.mkdtemp(prefix="bench-faust-"),
)
source = app.topic(os.environ["BENCH_SOURCE"], value_type=bytes, value_serializer="raw")
sink = app.topic(os.environ["BENCH_SINK"], value_type=bytes, value_serializer="raw")


async def function(items: list[dict]) -> list[dict]:
    return [{"label": "positive"} for _ in items]


@app.agent(source)
async def label(stream: faust.StreamT) -> None:
    async for values in stream.take(100, within=0.05):
        for result in await function([orjson.loads(value) for value in values]):
            await sink.send(value=orjson.dumps(result))


if __name__ == "__main__":
    for name in ("aiokafka", "faust", "mode"):  # else each send makes log records for nobody
        logging.getLogger(name).setLevel(logging.WARNING)
    app.main()
