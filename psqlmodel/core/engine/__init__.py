"""Engines: where the server is, the pool of connections to it, and what its tables really are."""

from psqlmodel.core.engine.engine import (
    AsyncEngine,
    AsyncEngineConnection,
    Engine,
    EngineConnection,
    create_async_engine,
    create_engine,
)

__all__ = [
    "AsyncEngine",
    "AsyncEngineConnection",
    "Engine",
    "EngineConnection",
    "create_async_engine",
    "create_engine",
]
