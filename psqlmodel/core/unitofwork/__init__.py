"""The unit of work: `unit` keeps the books, `collect` decides what to write, `flush` and its parts write it, `undo`
restores; `identity` is the map of the session's objects.
"""
