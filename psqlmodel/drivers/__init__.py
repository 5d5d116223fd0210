"""The two drivers and their pools: connections that answer requests (`psqlmodel.steps`) with rows of wire
values.

Nothing here knows models, sessions or SQL that users write; importing this package imports neither driver.
"""
