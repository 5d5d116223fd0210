"""Verbs: what a session does besides add, delete and get. Each is steps, or looks at the books and sends nothing."""
