"""The engine at work in this program, whoever brings the items; and the doors without Kafka.

    arrivals ─► runner (engine, clock, timer, calls) ─► outcomes ─► Delivered ─► runner

Read `runner`, then `map` (a list in, a list out) and `user_function` (what it calls). `tally`
counts calls and outcomes, `logs` says things once and not a thousand times.
"""
