"""Names that psqlmodel 0.9 had, for programs that come from it: thin, each made of what this version has.

`docs/from-psqlmodel-0.9.md` lists them beside their present spelling. Nothing in the package uses them.
"""
