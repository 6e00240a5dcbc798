"""`chunk`: a stage that makes a text into pieces that a model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

from streams.codec.pointers import MissingError, Text
from streams.codec.records import estimate_tokens
from streams.errors import ConfigError, ItemError
from streams.running.item_texts import text_of
from streams.running.stages import Stage, expand


def chunk(
    max_tokens: int = 512,
    overlap: int = 50,
    *,
    text: str | None = None,
    tokens: Callable[[str], int] | None = None,
    max_in_flight: int = 1,
) -> Stage:
    """A stage that expands each text into pieces of at most `max_tokens`, of which neighbours have
    up to `overlap` tokens in common. A text without words has none.

    It cuts between paragraphs, sentences and words, the largest that fit
    (https://docs.rs/text-splitter), in a thread. `tokens(piece)`: counts; None: estimated on the
    high side, a third of a token per ASCII character. `text`: where the text of an object is, a
    pointer ("/body") or a template ("{/title}: {/body}"); None: items are strings, or records of
    Kafka. An item without a text is an `ItemError` "no_text". Raises ValueError for a number out of
    range and ConfigError where the extra is not installed.
    """
    if index(max_tokens) < 1:
        raise ValueError(f"max_tokens must be at least 1, not {max_tokens}")
    if not 0 <= index(overlap) < max_tokens:
        raise ValueError(f"overlap must be at least 0 and below max_tokens, not {overlap}")
    try:
        from semantic_text_splitter import TextSplitter  # an extra, and few need it
    except ImportError:
        problem = "chunk needs a text splitter: pip install 'streams-microbatch[chunk]'"
        raise ConfigError([problem]) from None
    split = TextSplitter.from_callback(tokens or estimate_tokens, max_tokens, overlap).chunks
    pointer = None if text is None else Text(text)

    def chunk(items: Sequence[Any]) -> list[list[str] | ItemError]:
        return [_pieces(split, item, pointer) for item in items]

    return expand(chunk, max_in_flight=max_in_flight)


def _pieces(
    split: Callable[[str], list[str]], item: Any, pointer: Text | None
) -> list[str] | ItemError:
    try:
        return split(text_of(item, pointer))
    except MissingError as error:
        return ItemError("no_text", f"the item has nothing at {error.pointer}")
    except UnicodeEncodeError:
        return ItemError("no_text", "the text has half a surrogate pair, which is no character")
    except ValueError as error:
        return ItemError("no_text", str(error))
