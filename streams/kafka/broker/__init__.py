"""The embedded broker, for trying out.

Read `tansu` (what it is and what it cannot do), then `child` (a process that ends with ours).
"""
