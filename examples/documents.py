"""Documents to vectors: read, chunk, embed and gather are all at work at once; SQLite stores.

    python examples/documents.py docs/*.md                     # needs VOYAGE_API_KEY
    streams simulate python examples/documents.py docs/*.md    # needs no key: a simulator answers

Makes vectors.db: one row for each chunk, with its text and its vector. Each stage has batches and a
limit of calls of its own. Results come in the order of the files, one list of chunks for each.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import streams
from streams import ItemError

vector = streams.embed("voyage-4", dimension=256)


def read(paths: Sequence[Path]) -> list[str]:
    """A plain function: runs in a thread."""
    return [path.read_text() for path in paths]


async def embed(chunks: Sequence[str]) -> list[tuple[str, list[float]] | ItemError]:
    """Each chunk with its vector, in one call for all of them."""
    vectors = await vector(chunks)
    pairs = zip(chunks, vectors, strict=True)
    return [found if isinstance(found, ItemError) else (text, found) for text, found in pairs]


async def main(paths: list[Path]) -> None:
    pipeline = streams.Pipeline(
        [
            read,
            streams.chunk(max_tokens=200, overlap=20),
            streams.stage(embed, max_items=96, max_wait_ms=20, max_in_flight=5),
            streams.gather(),
        ]
    )
    with sqlite3.connect("vectors.db") as database:
        database.execute("create table if not exists chunks (path, number, text, vector)")
        files = iter(paths)
        async for chunks in pipeline.stream(paths):
            path = str(next(files))
            if isinstance(chunks, ItemError):
                print(f"{path}: {chunks}", file=sys.stderr)
                continue
            rows = [(path, n, text, json.dumps(found)) for n, (text, found) in enumerate(chunks)]
            database.execute("delete from chunks where path = ?", [path])
            database.executemany("insert into chunks values (?, ?, ?, ?)", rows)
            print(f"{path}: {len(rows)} chunks")
    print(f"{vector.usage}; the stage that takes longest: {pipeline.statistics().bottleneck}")


if __name__ == "__main__":
    asyncio.run(main([Path(name) for name in sys.argv[1:]]))
