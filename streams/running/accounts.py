"""The accounts of this program: whoever calls the same model with the same key shares one.

An account belongs to the event loop of its members, since it wakes them: each loop has its own.
"""

from __future__ import annotations

import asyncio
from random import random
from weakref import WeakKeyDictionary

from streams.core.account import Account
from streams.core.limits import Limits

_accounts: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], Account]]
_accounts = WeakKeyDictionary()


def account_of_caller(key: tuple[str, ...] | None, limits: Limits) -> Account | None:
    """The account of a caller's `account`, in the running loop; None: one of its own. The first
    that asks decides its back-off."""
    if key is None:
        return None
    accounts = _accounts.setdefault(asyncio.get_running_loop(), {})
    if key not in accounts:
        accounts[key] = Account(limits.backoff, limits.account_backoff, random)
    return accounts[key]
