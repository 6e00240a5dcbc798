"""The Kafka door: records of a source in, outcomes to the sink, offsets committed behind them.

Read `task` (one runner between Kafka and an API), `partition` (one source partition) and `worker`
(all tasks of a process); then `assignment` (which partitions it has), `intake`, `output`,
`commits`, `handover` (giving them back), `recount` and `call_ledger`, each one step of it.
"""
