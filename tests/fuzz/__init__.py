"""A million broken replies through everything that reads them.

    bodies ─► the provider's reading ─► operation ─► engine ─► encoder
    (`mutations`, `api`)               (`rounds`)

`python -m tests.fuzz --replies 1000000 --seed 1`; a share of it runs with the other tests.
"""
