"""Pure policies, one question each: what follows a fault, how to divide, how to share.

Read `retry`, then `splitting`, then `sharing`. None of them keeps state or knows the engine.
"""
