"""Runs the engine for any source of items; and the doors without Kafka.

    arrivals ─► runner (engine, clock, timer, calls) ─► outcomes ─► Delivered ─► runner

Read `runner` with `call_task` (one call) and `exits` (what may not end the loop), then `map` (a
list in, a list out) and `user_function` (what it calls). `tally` counts calls and outcomes, `logs`
limits repeated messages.
"""
