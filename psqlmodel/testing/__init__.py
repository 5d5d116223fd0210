"""What tests of programs that use psqlmodel need: isolation, counted statements, objects with valid values.

The pytest plugin `psqlmodel.pytest` makes fixtures of it. Nothing here is imported by the rest of the package, and
nothing here imports pytest.
"""
