"""Pure policies, one question each: what follows a fault, how to divide, how to share, when
to stop, when to ask first.

Read `retry`, then `splitting`, `sharing`, `asking_first`, `breaker` and `code_counts`. None of them
knows the engine, and only the last two keep state.
"""
