"""What the library doors are for, each beside one call per item (`make bench-uses`).

    python -m benchmarks.uses [NAME ...] [--json] [--repeat N] [--whole]

`__main__` has the table of uses; a use is a function that returns a `Report`: `apis` (lists through
an operation, with `simulated`), `callers` (a `Coalescer` in its uses), `overhead` (CPU time per
item, beside what people use), `failures` (which of the failures of others each library has), with
`peers`, the others behind one interface.
"""
