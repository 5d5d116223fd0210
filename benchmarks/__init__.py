"""The yardstick: psqlmodel, hand-written driver code and other ORMs, on the same work in the same run.

`make bench`, or `python -m benchmarks`; `docs/performance.md` says how to read the tables.
"""
