"""A web app whose handlers share calls: each awaits one answer, up to 20 of them are one API call.

    python examples/web_app.py                     # needs ANTHROPIC_API_KEY; listens on 8000
    streams simulate python examples/web_app.py    # needs no key: a simulator answers
    python examples/web_client.py                  # in a second terminal: 50 requests at once

needs `pip install 'streams-microbatch[examples]'` (FastAPI and uvicorn). A client that goes, or
waits longer than 10 s, takes its text out of the queue, and nobody else notices.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

import streams

label = streams.classify(["positive", "negative", "neutral"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The end of the block answers who still waits, and closes the connections."""
    coalescer = streams.Coalescer[str, str](label, max_wait_ms=50, when_full="raise")
    async with label, coalescer:
        app.state.coalescer = coalescer
        yield


app = FastAPI(lifespan=lifespan)


class Review(BaseModel):
    text: str


@app.post("/label")
async def give_label(review: Review, request: Request) -> dict[str, str]:
    coalescer = request.app.state.coalescer
    try:
        answer = await unless_gone(request, coalescer.submit(review.text, timeout_s=10))
    except streams.ItemError as error:  # this text has no answer; the others have
        raise HTTPException(422, str(error)) from error
    except streams.Overloaded as error:
        raise HTTPException(503, "too many wait", {"retry-after": "1"}) from error
    except TimeoutError as error:
        raise HTTPException(504, "no answer within 10 s") from error
    return {"label": answer}


@app.get("/statistics")
async def statistics(request: Request) -> Any:
    return request.app.state.coalescer.statistics()._asdict()


async def unless_gone(request: Request, work: Coroutine[Any, Any, str]) -> str:
    """The result of `work`, which is cancelled when the client goes."""
    working = asyncio.ensure_future(work)
    going = asyncio.ensure_future(request.receive())  # the body is read: what comes is the end
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(499, "the client has gone")
        return working.result()
    finally:
        working.cancel()
        going.cancel()


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), access_log=False)
