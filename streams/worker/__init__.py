"""The Kafka door: records of a source in, outcomes to the sink, offsets committed behind them.

Read `task` (one engine between Kafka and an API), `partition` (what it knows of one source
partition) and `worker` (all tasks of a process); then `intake` (memory, and taking records in), `output`,
`commits`, `settling`, `recount` and `call_ledger`, each one step of it.
"""
