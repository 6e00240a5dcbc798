"""Batch mode for any door: microbatches travel in Message Batches, at half the price. Knows no
Kafka.

Read `batch_door` (where items come from and outcomes go) and `state_port` (what survives a kill);
the API's side is `streams.providers.batch_port`.
"""
