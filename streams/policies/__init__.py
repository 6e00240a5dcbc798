"""Pure policies, one question each: what follows a fault, how to divide, how to share, when
to stop.

Read `retry`, then `splitting`, `sharing` and `breaker`. None of them knows the engine, and only the
last keeps state.
"""
