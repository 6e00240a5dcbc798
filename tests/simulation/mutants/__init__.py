"""Faults put into the code by hand, one at a time: the simulation has to find each of them.

Each is what a hasty change could do, or a defect that was found and is put back, and breaks one
promise.
"""

from tests.simulation.mutants import call_ledger, core, exactly_once, shells, sink  # noqa: F401
from tests.simulation.mutants.registry import MUTANTS

__all__ = ["MUTANTS"]
