"""How many files this process may have open; a connection is one of them.

Most systems start a process with a soft limit of 1,024 and a hard limit of many more, and let it
raise the soft one by itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from typing import Any

from streams.errors import ConfigError

resource: Any = None  # Windows has neither the module nor such a limit
if importlib.util.find_spec("resource"):
    import resource

OTHER_FILES = 100
"""For modules, logs, the loop, the web server and other connections, beside those that are
counted."""


def raise_limit(needed: int) -> int:
    """Raise the soft limit to the hard one if `needed` files are more than it allows. Returns how
    many files may be open now; fewer than `needed` where the hard limit is lower."""
    if resource is None:
        return needed
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says that its hard limit is infinite, and refuses that as a soft one.
    for limit in (hard, needed):
        if _count(soft) < needed and _count(soft) < _count(limit) <= _count(hard):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                soft = limit
    return _count(soft)


def _count(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def need_files(calls: int) -> None:
    """So many calls at once, each of which is a connection. Raises ConfigError where the system
    allows too few open files."""
    needed = calls + OTHER_FILES
    if (allowed := raise_limit(needed)) < needed:
        raise ConfigError(
            [
                f"task.calls.max_in_flight: {calls} calls at once need {needed} open files, and "
                f"this system allows {allowed}: raise its hard limit, or lower max_in_flight"
            ]
        )
