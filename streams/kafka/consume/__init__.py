"""Records come from Kafka as lists, in a thread of their own.

Read `transport` (what Faust hosts), `thread`, `reader` (rounds of lists), `prefetch` and `batches`
(what waits to be read, in bytes), then `offsets` (where reading begins), `lease` (whether the group
takes us for alive) and `health`. `host` is what transport and worker ask of each other.
"""
