"""Records come from Kafka as lists, in a thread of their own.

Read `transport` (what Faust hosts), `thread`, `reader` (one partition's lists), then `offsets`
(where reading begins), `lease` (whether the group takes us for alive) and `health`. `host` is what
the transport asks of the worker.
"""
