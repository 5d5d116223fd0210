"""Models as types of Pydantic: validation of outside data, JSON schema, dumps. An extra: `psqlmodel[pydantic]`.

A model class is a type wherever Pydantic wants one. The core does not import this package: a model finds it when
Pydantic asks.
"""

from psqlmodel.pydantic.shapes import Create, Read, Shape
from psqlmodel.pydantic.update import Update

__all__ = ["Create", "Read", "Shape", "Update"]
