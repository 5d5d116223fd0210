"""Models: classes mapped to tables, their columns, relations and states. Does no input or output."""

from psqlmodel.model.base import PSQLModel, table
from psqlmodel.model.constraints import Check, Exclude, ForeignKey, Index, PrimaryKey, Unique
from psqlmodel.model.fields import Column, Relation
from psqlmodel.model.mapper import Mapper, mapper_of

__all__ = [
    "Check",
    "Column",
    "Exclude",
    "ForeignKey",
    "Index",
    "Mapper",
    "PSQLModel",
    "PrimaryKey",
    "Relation",
    "Unique",
    "mapper_of",
    "table",
]
