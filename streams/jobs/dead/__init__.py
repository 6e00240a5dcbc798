"""Dead letters, looked at and sent again: `streams dead`.

    tail ─► letters ─► choice ─► plan (lookup) ─► redrive ─► acknowledged ─► memory
                          └────► letter_views

Start with `letters.py`, then `plan.py`, `memory.py` and `redrive.py`.
"""
