"""Runs the engine for any source of items; and the doors without Kafka.

    arrivals ─► runner (engine, clock, timer, calls) ─► outcomes ─► Delivered ─► runner

Read `runner` with `call_task` (one call) and `exits` (what may not end the loop), then `work` (what
a door runs) with `user_function`, and `map` (an iterable in, a list or a stream out) with `map_run`
and `bar`; `coalescer` (many callers), behind it `shared_calls`, `caller_places` and
`coalescer_statistics`, before it `coalesce`.
`processes` makes operations on an API into processes (`api_process`), whose `accounts` are shared.
`tally` counts calls and outcomes, `logs` limits repeated messages.
"""
