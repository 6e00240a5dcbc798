"""Kafka microbatches for AI APIs: items in, one API call per microbatch, ordered results out.

    source records (lists)                                                    results (lists)
    Kafka ───► reader ───► ┌─────────────────── core (pure) ────────────────┐ ──► sink ──► Kafka
    file, list ► map ────► │ windows ─► admission ─► sequencer ─► watermark │ ──► file, list
    callers ─► coalescer ► │      │         ▲                    │          │ ──► their futures
    stage ───► pipeline ─► └──────┼─────────┼────────────────────┼──────────┘ ──► next stage
                              StartCall     │ Replied, Failed    └──► commit
                                  ▼         │
                                caller ──► provider (Claude, Voyage, your function)

If you are here to read the code, start with

1. `streams.model` and `streams.errors`: the values that cross the rooms, and all that goes wrong;
2. `streams.core` (`call`, `events`, `engine`, then as its docstring says) and
   `streams.policies.retry`: every decision, without a clock or a loop;
3. `streams.running.runner` and `streams.running.map`: the code around the engine, and the smallest
   door; the others beside it (`coalescer`, `pipeline`);
4. `streams.worker.task` and `streams.worker.worker`: the same runner between Kafka and an API, with
   `streams.codec.records` and `streams.codec.results` at its ends, and `streams.codec.answers`
   beside it;
5. `streams.kafka.consume.transport`, `streams.kafka.consume.reader` and
   `streams.kafka.produce.sink`: how records come as lists and results leave in order;
6. `streams.operations` and `streams.providers`: requests to the APIs, and the meaning of their
   answers and errors;
7. `streams.batches` with `streams.batches.core`: the same microbatches in Message Batches;
8. `streams.app` and `streams.settings`: how the parts are put together.

The names below are public; all others may change. Names with heavy imports are imported at their
first use, so that `import streams` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from streams.errors import ItemError, Retry
from streams.model import Item, Position

if TYPE_CHECKING:
    from streams.app import App
    from streams.batches.map_mode import map_batches
    from streams.running.api_limits import Limits
    from streams.running.chunks import chunk
    from streams.running.coalesce import coalesce
    from streams.running.coalescer import Coalescer, Overloaded
    from streams.running.map import map_batches_iter
    from streams.running.model_price import ModelPrice
    from streams.running.pipeline import Pipeline
    from streams.running.processes import classify, embed, extract, generate
    from streams.running.stages import expand, gather, stage

__all__ = [
    "App",
    "Coalescer",
    "Item",
    "ItemError",
    "Limits",
    "ModelPrice",
    "Overloaded",
    "Pipeline",
    "Position",
    "Retry",
    "chunk",
    "classify",
    "coalesce",
    "embed",
    "expand",
    "extract",
    "gather",
    "generate",
    "map_batches",
    "map_batches_iter",
    "stage",
]

_LATER = {
    "App": "streams.app",
    "Coalescer": "streams.running.coalescer",
    "Limits": "streams.running.api_limits",
    "ModelPrice": "streams.running.model_price",
    "Overloaded": "streams.running.coalescer",
    "Pipeline": "streams.running.pipeline",
    "chunk": "streams.running.chunks",
    "expand": "streams.running.stages",
    "gather": "streams.running.stages",
    "stage": "streams.running.stages",
    "coalesce": "streams.running.coalesce",
    "classify": "streams.running.processes",
    "embed": "streams.running.processes",
    "extract": "streams.running.processes",
    "generate": "streams.running.processes",
    "map_batches": "streams.batches.map_mode",
    "map_batches_iter": "streams.running.map",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = found  # found directly the next time
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
