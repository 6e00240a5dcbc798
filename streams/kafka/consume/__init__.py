"""Records come from Kafka as lists, in a thread of their own.

Read `transport` (what Faust hosts), `thread`, `reader` (a round of lists, by partition),
`failed_reads` (which of them rest after an error), then `prefetch` and `open_batches` (what waits
between the broker and the reader, and its bytes), `fetched_records` and `refused_fetches` (how
batches are read, and what the broker cannot read), `offsets` (where reading begins), `lease`
(whether the group takes us for alive), `joining` (a member without an assignment yet), `health` and
`sources` (whether a topic is still there). `taking` serves commands, which have no group. `host` is
what transport and worker ask of each other.
"""
