"""The pure engine: events in, actions out; no clock, no I/O, no asyncio, no logging.

Read `call` (what moves), `limits` and `events` (the language), then `engine` (the whole), and after
it the rest in the order an item meets it: `lanes`, `windows` (`window` with `cut` and `lead`, all
of them in `window_heap`s), `admission` with `demands`, `sizing`, `account` with `seat`,
`reservation`, `waits` and `account_statistics`, `line` and `rate_line`, `pauses` and `task_pause`,
`call_money` (what calls may cost), `evidence`, `verdict` and `left_over` (whose fault a failure
is), `retries`, `order`, `beyond`, `ranges`; `withdrawals` for those who leave early. `inspect` and
`limit_view` look on, `history` remembers.
"""

from streams.core.call import PENDING, Call, Slot, State
from streams.core.engine import Engine
from streams.core.events import (
    Action,
    Arrived,
    CancelCall,
    Cancelled,
    Closed,
    Delivered,
    Event,
    Expedited,
    Failed,
    Flush,
    Halt,
    LimitsChanged,
    Opened,
    Passed,
    Paused,
    Release,
    Replied,
    Resume,
    Resumed,
    StartCall,
    Tick,
    Withdrawn,
)
from streams.core.inspect import Blocking, LaneStatistics, Statistics
from streams.core.limits import Limits, Order

__all__ = [
    "PENDING",
    "Action",
    "Arrived",
    "Blocking",
    "Call",
    "CancelCall",
    "Cancelled",
    "Closed",
    "Delivered",
    "Engine",
    "Event",
    "Expedited",
    "Failed",
    "Flush",
    "Halt",
    "LaneStatistics",
    "Limits",
    "LimitsChanged",
    "Opened",
    "Order",
    "Passed",
    "Paused",
    "Release",
    "Replied",
    "Resume",
    "Resumed",
    "Slot",
    "StartCall",
    "State",
    "Statistics",
    "Tick",
    "Withdrawn",
]
