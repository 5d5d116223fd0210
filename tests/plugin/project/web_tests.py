"""Tests of a web application: its routes commit, in threads and in the event loop of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import Depends, FastAPI
from shop import Customer, emails, emails_async

from psqlmodel import AsyncEngine, AsyncSession, Engine, Session

app = FastAPI()


def a_session() -> Iterator[Session]:
    raise NotImplementedError


async def an_async_session() -> AsyncIterator[AsyncSession]:
    raise NotImplementedError
    yield


@app.post("/sync/{email}")
def add(email: str, session: Session = Depends(a_session)) -> int:  # noqa: B008
    customer = Customer(name="a", email=email)
    session.add(customer)
    session.commit()
    return customer.id


@app.post("/async/{email}")
async def add_async(email: str, session: AsyncSession = Depends(an_async_session)) -> int:  # noqa: B008
    customer = Customer(name="a", email=email)
    await session.add(customer)
    await session.commit()
    return customer.id


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.asyncio
@pytest.mark.parametrize("time", range(2))
async def test_routes_in_threads(engine: Engine, session: Session, time: int) -> None:
    def session_of_test() -> Iterator[Session]:
        with Session(engine) as made:
            yield made

    app.dependency_overrides[a_session] = session_of_test
    assert emails(session) == ["seed"]
    async with client() as web:
        key = (await web.post("/sync/ada")).json()
    found = session.get(Customer, key)
    assert found is not None
    assert found.email == "ada"
    engine.dispose()  # what an application does at its end; the next test has its connection all the same


@pytest.mark.asyncio
@pytest.mark.parametrize("time", range(2))
async def test_routes_in_the_loop_of_the_test(
    async_engine: AsyncEngine, async_session: AsyncSession, time: int
) -> None:
    async def session_of_test() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(async_engine) as made:
            yield made

    app.dependency_overrides[an_async_session] = session_of_test
    assert await emails_async(async_session) == ["seed"]
    async with client() as web:
        key = (await web.post("/async/ada")).json()
    found = await async_session.get(Customer, key)
    assert found is not None
    assert found.email == "ada"
    await async_engine.dispose()
