"""Pure policies, one question each: what follows a fault, how to divide, how to share, when
to stop, when to ask first.

Read `retry`, then `splitting`, `sharing`, `asking_first`, `breaker` and `code_counts`. How fast
calls may go: `rate` (over `bucket`, `found_limit`, `look_sums` and `demand`, by `model_groups`), of
each worker `limit_parts`, and `concurrency`; how much is in them: `packing` (over `correction`) and
`batch_size`; for how much money: `budget`, of all workers `shared_budget`, with `call_costs`.
`recent`: how long the latest calls took. None of them knows the engine.
"""
