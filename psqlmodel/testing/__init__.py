"""What tests of programs that use psqlmodel need: isolation, counted statements, objects with valid values.

The pytest plugin `psqlmodel.pytest` makes fixtures of it. Nothing here is imported by the rest of the package, and
nothing here imports pytest. Importing it imports none of its modules: each comes with the first of its names.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psqlmodel.testing.counting import Sent as Sent
    from psqlmodel.testing.factory import AsyncFactory as AsyncFactory
    from psqlmodel.testing.factory import Factory as Factory
    from psqlmodel.testing.isolation import isolate as isolate
    from psqlmodel.testing.isolation import isolate_async as isolate_async
    from psqlmodel.testing.joining import IsolationWarning as IsolationWarning
    from psqlmodel.testing.values import FactoryError as FactoryError
else:
    from psqlmodel.later import later

    __getattr__, __dir__ = later(
        __name__,
        {
            "psqlmodel.testing.counting": ["Sent"],
            "psqlmodel.testing.factory": ["AsyncFactory", "Factory"],
            "psqlmodel.testing.isolation": ["isolate", "isolate_async"],
            "psqlmodel.testing.joining": ["IsolationWarning"],
            "psqlmodel.testing.values": ["FactoryError"],
        },
    )
