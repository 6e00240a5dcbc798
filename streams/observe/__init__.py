"""What a worker shows of itself; read-only, and nothing below imports it.

Read `metrics` (Prometheus), then `web` (the page, `/health` and `/state`).
"""
