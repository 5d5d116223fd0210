"""Parallel reads: tasks on several connections of the pool, each in a session of its own.

`threads` runs them for `Session`, `coroutines` for `AsyncSession`. What they share does no input or output: `tasks`
(what a task is, which comes next, what became of it), `snapshot` (several connections see one state of the database)
and `splitting` (one table as several queries).
"""
