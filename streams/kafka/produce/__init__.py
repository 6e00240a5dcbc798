"""Records leave for Kafka in order, each written once or handed back.

Read `parcels` (what is written, and what a batch takes of it; `any_names` for strange headers),
`ordered_queue` (the state machine that every writer but the transactions shares), `producers` (what
it sends with; `quota` waits where a broker throttles it, `send_guard` asks once more before the
socket) and `waiting` (who waits for a queue); then its users, which differ in what they do about
failures: `sink` (at least once), `ledger_writer` and `job_writer`. Exactly once is `transactions`,
`lane_writer` (one transaction after the other) and `group` (what is in one).
"""
