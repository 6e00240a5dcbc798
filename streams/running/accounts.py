"""The accounts of this program: whoever calls the same model with the same key shares one, and the
models of one group share their limits per minute.

An account belongs to the event loop of its members, since it wakes them: each loop has its own.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from random import random
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from streams.core.account import Account
from streams.core.limits import Limits
from streams.core.rate_line import RateLine
from streams.policies.demand import PerMinute
from streams.policies.model_groups import model_group
from streams.policies.rate import Rate
from streams.running.api_limits import Limits as ApiLimits

SAY_LIMITS: Final = {"anthropic"}
"""Providers whose responses say the limits."""

Key = tuple[str, ...]


class _Shared(NamedTuple):
    """Of one event loop. `lines`: by the account's key, with the group in place of the model;
    `lines_of_functions`: by what they were given."""

    accounts: dict[Key, Account]
    lines: dict[Key, RateLine]
    lines_of_functions: WeakKeyDictionary[ApiLimits, RateLine]


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


def account_of_caller(
    key: Key | None, limits: Limits, allowed: ApiLimits | None = None
) -> Account | None:
    """The account of a caller's `account`, in the running loop; None: one of its own, without
    limits. `key`: provider, address, key and model; None: a function's, which shares the limits
    with those that are given the same object, and nothing else. The first that asks decides its
    back-off. `allowed`: what the caller says of the limits; of what several say the lowest
    counts."""
    allowed = allowed or ApiLimits()
    loop = asyncio.get_running_loop()
    now = loop.time()
    shared = _by_loop.setdefault(loop, _Shared({}, {}, WeakKeyDictionary()))
    if key is None:
        if allowed.per_minute == PerMinute():
            return None
        of_functions = shared.lines_of_functions
        if allowed not in of_functions:
            of_functions[allowed] = RateLine(Rate(allowed.per_minute, now, says_limits=False))
        backoffs = limits.backoff, limits.account_backoff
        return Account(*backoffs, random, rates=of_functions[allowed])
    accounts, lines = shared.accounts, shared.lines
    group = (*key[:-1], model_group(key[-1], allowed.groups))
    if group not in lines:
        rate = Rate(PerMinute(), now, says_limits=key[0] in SAY_LIMITS)
        lines[group] = RateLine(rate, _name(group))
    lines[group].rate.restrict(allowed.per_minute, allowed.share, now)
    if key not in accounts:
        accounts[key] = Account(
            limits.backoff, limits.account_backoff, random, rates=lines[group], adapts=True
        )
    return accounts[key]


def _name(group: Key) -> str:
    """The same in each worker of one configuration: provider, models, and a digest of all, since an
    address may hold what is secret."""
    return f"{group[0]}/{group[-1]}/{sha256(repr(group).encode()).hexdigest()[:8]}"
