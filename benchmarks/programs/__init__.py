"""The programs that are measured, each a process: `python -m benchmarks.programs.<name>`.

All take `BENCH_BROKER`, `BENCH_SOURCE`, `BENCH_SINK` and `BENCH_GROUP` from the environment, begin
at the earliest record, and run until SIGTERM.
"""
