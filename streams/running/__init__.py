"""The engine at work in this program: its clock, its timer, its calls; and the doors without Kafka.

Read `driver`, then `map` (a list in, a list out). `calling` makes the calls of a worker's task,
`tally` counts what comes of them, `logs` says things once and not a thousand times.
"""
