"""Asks examples/web_app.py for 50 labels at once, and shows how few calls answered them.

python examples/web_client.py [ADDRESS]        # default: http://127.0.0.1:8000
"""

import asyncio
import csv
import itertools
import sys
import time
from pathlib import Path

import aiohttp


async def main(address: str, count: int = 50) -> None:
    with Path(__file__).with_name("reviews.csv").open(newline="") as file:
        texts = [row["review"] for row in csv.DictReader(file)]
    async with aiohttp.ClientSession(address, raise_for_status=True) as session:

        async def ask(text: str) -> str:
            async with session.post("/label", json={"text": text}) as reply:
                return str((await reply.json())["label"])

        began = time.monotonic()
        labels = await asyncio.gather(*map(ask, itertools.islice(itertools.cycle(texts), count)))
        took_s = time.monotonic() - began
        async with session.get("/statistics") as reply:
            statistics = await reply.json()
    for text, label in zip(texts[:5], labels, strict=False):
        print(f"{label:8} {text}")
    print(f"{count} requests in {took_s:.1f} s; so far the app's {statistics['calls']} calls had")
    print(f"{statistics['items']} texts, and left because of {statistics['left']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
