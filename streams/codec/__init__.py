"""Bytes to values and back: items, results, dead letters, and what a commit says.

Read `records` (an item out of a record) and `results` (a record out of an outcome) first; they use
`strict_json` (with `numbers`), `pointers`, `splice`, `vectors` and `record_size`. `exact_schema`
checks values by a JSON Schema, `committed` is what a commit says of a partition, `answers` what the
call ledger says of an item, `call_terms` what an item says of its call (with `moments`),
`budget_records` what workers have spent, `limit_records` what they use of limits, `fingerprint`
what makes results comparable. `likely_tokens` counts for estimates of cost, `scripts` tells what
tokenizers differ by.
"""
