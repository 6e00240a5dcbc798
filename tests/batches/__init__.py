"""Batch mode: its rules one by one, and whole runs in virtual time (`world`: the real shell against
an API, a state and a door that are killed with it at any of their steps)."""
