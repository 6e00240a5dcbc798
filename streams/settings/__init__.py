"""The configuration: `streams.toml` and `STREAMS_...` variables -> frozen, validated settings.

    find the file ─► TOML ─► variables ─► --broker ─► rules + tables ─► Settings | every problem

Read `tables` and `limit_tables` for what there is to set (`keys` and `values` say what a key may
hold), `load` for how it comes together: `environment`, then `rules` and `task_rules` over several
keys, then `problems`, which words every error. `keywords`: the same keys as arguments of
`@app.microbatch` and `app.pipeline`.
"""

from streams.settings.keywords import refuse_keys_of_stages, task_from_keywords
from streams.settings.limit_tables import LimitSettings, PriceSettings
from streams.settings.load import find_file, load_settings
from streams.settings.tables import (
    BatchSettings,
    CallSettings,
    KafkaSettings,
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
    "PriceSettings",
    "ProviderSettings",
    "Settings",
    "TaskSettings",
    "WorkerSettings",
    "find_file",
    "load_settings",
    "refuse_keys_of_stages",
    "task_from_keywords",
]
