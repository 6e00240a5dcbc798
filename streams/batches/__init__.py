"""Batch mode: microbatches travel in Message Batches, at half the price. Knows no Kafka.

    door ─► chunk ─► batch … results ─► outcomes ─► door        what is left: live calls

Read the three ports: `batch_door` (where items come from and outcomes go), `state_port` (what
survives a kill), and `streams.providers.batch_port` (the API); with `batch_operation`. Then `core`
(every decision), and what carries it out: `batch_run` (the loop), `bench` (the chunk in memory, in
`slices`), `result_store` and `result_file` (results on the disk), `live_calls` and `live_records`,
`run_head` and `run_report` (what a run is, and what it says of itself).
For lists there are `map_mode` (the door of a program), `list_run`, `list_door`, `state_file` and
`batch_bar`.
"""
