"""The APIs behind one port, and the callers that tasks use.

    make_caller(task, provider settings) ──► TaskCaller: items ─► request ─► send ─► read ─► Reply
    function_caller(function)            ──► FunctionCaller: items ─► function ─► Reply

Reading order: `port` (what a provider must do), `batch_port` (what takes requests in batches),
`task_caller` (one call) with `call_shape`, `anthropic` and `voyage` (the two APIs), `egress` (their
way out: `addresses`, `proxies`, `api_key`), `sdk_faults` and `connection_faults` (what each means),
`response_headers` (waits and limits), `redirects` (which are followed), `prices` (what a call
costs), `secrecy` (what no message may hold), `registry` (which providers there are), `functions`
(custom functions; those that block run in `threads`). Message Batches: `anthropic_batches`,
`batch_status`, `result_lines` and `batch_results`. SDKs are imported when needed.
"""

from streams.providers.functions import FunctionCaller, function_caller
from streams.providers.port import (
    Account,
    DirectProvider,
    Params,
    Provider,
    ProviderFactory,
    ProviderSettings,
    WireReply,
)
from streams.providers.prices import has_price
from streams.providers.registry import (
    Task,
    can_price,
    has_batches,
    make_batch_api,
    make_caller,
    price_problem,
    provider_names,
    register_provider,
    task_price,
    warn_of_price,
)
from streams.providers.task_caller import TaskCaller

__all__ = [
    "Account",
    "DirectProvider",
    "FunctionCaller",
    "Params",
    "Provider",
    "ProviderFactory",
    "ProviderSettings",
    "Task",
    "TaskCaller",
    "WireReply",
    "can_price",
    "function_caller",
    "has_batches",
    "has_price",
    "make_batch_api",
    "make_caller",
    "price_problem",
    "provider_names",
    "register_provider",
    "task_price",
    "warn_of_price",
]
