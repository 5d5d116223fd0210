"""Engines: where the server is, the pool of connections to it, and what its tables really are.

The asynchronous engine is in `async_engine`: it brings asyncio, so it is imported where one is made.
"""

from psqlmodel.core.engine.engine import Engine, EngineConnection, create_async_engine, create_engine

__all__ = ["Engine", "EngineConnection", "create_async_engine", "create_engine"]
