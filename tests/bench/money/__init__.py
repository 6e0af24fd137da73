"""The deterministic bench: the whole terminal in one thread and in virtual time, judged after every schedule of faults.

Read `world.py` first, then `judge.py`. `benchmarks/money.py` is the way in; docs/money.md says what it proves and what it cannot.
"""
