"""Outcomes leave for Kafka in order, each written once or handed back.

Read `parcels` (what is written), `sink` and `writer` (at least once), `transactions` and
`lane_writer` (exactly once), then `refusals` and `ledger_writer`.
"""
