"""The Kafka door: reads records of a source, writes outcomes to the sink, then commits offsets.

Read `task` (one runner between Kafka and an API; `task_parts`: what it is made of), `partition`
(one source partition), `deadlines` and `worker` (all tasks of a process); then `assignment` (which
partitions it has), `intake`, `output`, `reading_errors`, `commits`, `handover` (giving them back),
`recount` and `call_ledger`, each one step of it. What calls may cost: `task_budgets`, with
`budget_topic` (where workers share it) and `budget_log`; what limits they share: `limit_shares`,
with `limit_topic`. Both topics are a `group_topic`.
"""
