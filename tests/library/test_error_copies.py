"""Errors survive what multiprocessing, executors and caches do to them: pickling and copying."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from streams import errors
from streams.errors import (
    BrokerError,
    CallError,
    ConfigError,
    Fault,
    InvalidCodeError,
    ItemError,
    OutputError,
    Retry,
    StageError,
    StreamsError,
    UsageError,
)
from streams.model import Quota, RateLimits, Usage


class LateRetry(Retry):
    def __init__(self) -> None:
        super().__init__(60.0)


def samples() -> list[StreamsError]:
    limits = RateLimits(requests=Quota(10, 5, 1.5))
    billed = CallError(
        Fault.THROTTLED, "slow", retry_after_s=2.0, status=429, usage=Usage(1, 2, 3),
        rate_limits=limits,
    )  # fmt: skip
    return [
        StreamsError("root"),
        ConfigError(["a.b: one", "c.d: two"]),
        UsageError("usage"),
        BrokerError("broker"),
        OutputError("output"),
        ItemError("too_rude", "as asked"),
        StageError("embed", ItemError("timeout", "no reply")),
        InvalidCodeError("No Code"),
        Retry(2.5),
        LateRetry(),
        CallError(Fault.SERVER),
        billed,
    ]


WAYS: dict[str, Callable[[StreamsError], StreamsError]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda error, n=n: pickle.loads(pickle.dumps(error, n))
        for n in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", samples(), ids=lambda error: type(error).__name__)
def test_a_copy_of_an_error_says_the_same_once(error: StreamsError, way: str) -> None:
    again = WAYS[way](WAYS[way](error))
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_every_error_of_the_tree_has_a_sample() -> None:
    def below(kind: type) -> set[type]:
        return {kind, *(each for sub in kind.__subclasses__() for each in below(sub))}

    ours = {kind for kind in below(StreamsError) if kind.__module__ == errors.__name__}
    assert ours <= {type(error) for error in samples()}
