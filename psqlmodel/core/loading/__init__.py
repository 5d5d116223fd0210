"""Loading: from queries to objects and rows. `access` is what a session calls, `reading` and `include` do it."""
