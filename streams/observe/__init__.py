"""What a worker shows of itself; read-only, and nothing below imports it.

Read `metric_table` and `metrics` (Prometheus), then `web` (the page, `/health` and `/state`).
"""
