"""Dead letters, looked at and sent again: `streams dead`.

    tail ─► letters ─► choice ─► plan (lookup) ─► redrive ─► acknowledged ─► memory (keeper)
                          └────► views

Start with `letters.py`, then `job.py`, `memory.py` and `redrive.py`.
"""
