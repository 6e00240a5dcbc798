"""The configuration: `streams.toml` and `STREAMS_...` variables -> frozen, validated settings.

    find the file ─► TOML ─► variables ─► --broker ─► rules + models ─► Settings | every problem
     load.py                 environment.py           rules.py  model.py          problems.py
                                                      task_rules.py

Start with `model.py` for what there is to set, and `load.py` for how it comes together.
"""

from streams.settings.keywords import task_from_keywords
from streams.settings.load import find_file, load_settings
from streams.settings.tables import (
    BatchSettings,
    CallSettings,
    KafkaSettings,
    LimitSettings,
    OutputSettings,
    ProviderSettings,
    Settings,
    TaskSettings,
    WorkerSettings,
)

__all__ = [
    "BatchSettings",
    "CallSettings",
    "KafkaSettings",
    "LimitSettings",
    "OutputSettings",
    "ProviderSettings",
    "Settings",
    "TaskSettings",
    "WorkerSettings",
    "find_file",
    "load_settings",
    "task_from_keywords",
]
