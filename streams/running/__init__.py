"""Runs the engine for any source of items; and the doors without Kafka.

    arrivals ─► runner (engine, clock, timer, calls) ─► outcomes ─► Delivered ─► runner

Read `runner` with `call_task` (one call) and `exits` (what may not end the loop), then `work` (what
a door runs) with `user_function`. The doors: `map` (an iterable in, a list or a stream out) with
`map_run`, `drawing` and `bar`; `coalescer` (many callers), behind it `shared_calls`,
`caller_places` and `coalescer_statistics`, before it `coalesce`; `pipeline` with `stages` and
`chunks`, `pipeline_run`, `stage_run` and `parts` (what moves between the stages). In a task of
Kafka: `pipeline_caller`, with `task_stages`, `trips` (one item's way, and what it takes) and
`expanding` (what a stage that makes parts may take). `processes` makes operations on an API into
processes (`api_process`, `item_texts`, `model_price`), whose `accounts` are shared (`api_limits`,
`own_budgets`). `tally` counts calls and outcomes (`histograms`), `logs` limits repeated messages,
`collector` is for the garbage collector.
"""
