"""What says where to connect and how: DSNs, settings, names of databases and files; none becomes another thing."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote as percent

import pytest
from hypothesis import example, given

from psqlmodel import (
    AsyncSession,
    ConfigurationError,
    PSQLModelError,
    Session,
    create_async_engine,
    create_engine,
)
from psqlmodel.core.engine.dsn import find_target, parse_dsn
from psqlmodel.embedded import Server

from .by_hand import try_one
from .conftest import Place
from .texts import ATTACKS, budget, is_storable, storable, texts

MARK = "s3cr3tM4rk"  # stands in passwords; nothing that is shown may hold it


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


# --- DSNs -----------------------------------------------------------------------------------------------------------


@budget(200)
@given(texts, storable, storable)
@example("pass@w:o/r?d#%", "me", "db")
@example("\0", "me", "db")
def test_what_is_encoded_comes_whole(password: str, user: str, database: str) -> None:
    dsn = f"postgresql://{_percent(user)}:{_percent(password)}@host:1/{_percent(database)}"
    if not is_storable(password):
        with pytest.raises(ConfigurationError):
            parse_dsn(dsn)
        return
    target = parse_dsn(dsn)
    assert target.parameters == {"user": user, "password": password, "host": "host", "port": "1", "dbname": database}
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    assert parse_dsn(f"host=h password='{escaped}' dbname=d").parameters == {
        "host": "h", "password": password, "dbname": "d",
    }  # fmt: skip


def _percent(text: str) -> str:
    return percent(text, safe="", errors="surrogatepass")


@budget(600)
@given(texts, texts)
@example("1/", "")
@example("12?host=", "")
@example("x://", "")
@example("a@b/", "@")
def test_a_password_that_is_not_encoded_is_not_shown(before: str, after: str) -> None:
    _never_shows(f"postgresql://user:{before}{MARK}{after}@host/database")


@budget(250)
@given(texts, texts)
@example("x://", "")
def test_an_error_about_a_keyword_string_does_not_show_it(before: str, after: str) -> None:
    try:
        parse_dsn(f"host=h password={before}{MARK}{after}")
    except ConfigurationError as error:
        assert MARK not in _said(error)


def _never_shows(dsn: str) -> None:
    try:
        engine = create_engine(dsn)
    except ConfigurationError as error:
        assert MARK not in _said(error)
        return
    shown = [repr(engine), repr(engine.options), str(engine.options.target), repr(engine.pool), repr(vars(engine))]
    assert not any(MARK in text for text in shown)


@budget(250)
@given(texts)
def test_any_text_as_dsn_is_a_place_or_a_clear_error(text: str) -> None:
    for dsn in (text, f"postgresql://{text}", f"postgresql://h/d?{text}", f"host={text}", f"embedded:{text}"):
        try:
            target = find_target(dsn, {})
        except ConfigurationError:
            continue
        assert all(is_storable(value) for value in target.parameters.values())
        assert all(name.isascii() and name.replace(".", "_").isidentifier() for name in target.parameters)


# --- a connection with them -------------------------------------------------------------------------------------------


async def _ask(place: Place, dsn: str, sql: list[str], **options: Any) -> list[Any]:
    if place.both.is_sync:
        with create_engine(dsn, **options) as engine, Session(engine) as session:
            return [session.exec_scalar(text) for text in sql]
    other = create_async_engine(dsn, **options)
    try:
        async with AsyncSession(other) as session:
            return [await session.exec_scalar(text) for text in sql]
    finally:
        await other.dispose()


_WHO = ["SELECT current_user::text", "SELECT current_database()::text", "SHOW client_encoding", "SHOW log_statement",
        "SHOW application_name", "SELECT current_setting('hostile.text', true)"]  # fmt: skip


def test_no_setting_and_no_password_becomes_another_parameter(place: Place, hostile_dsn: str) -> None:
    @budget(25)
    @given(texts.map(lambda text: text[:300]))
    @example("x\t-c\tlog_statement=all")
    @example("x\n-c\vlog_statement=all")
    @example("x' log_statement='all")
    @example("x\\ -c log_statement=all")
    @example("x\0user\0nobody")
    @example("\r")
    @example("x \\ ")
    def throw(text: str) -> None:
        dsn = f"{hostile_dsn}&password={_percent(text)}"
        options: dict[str, Any] = {"settings": {"hostile.text": text}, "application_name": "name " + text}
        if not is_storable(text):
            for few in ({"settings": options["settings"]}, {"application_name": options["application_name"]}):
                with pytest.raises(ConfigurationError):
                    place.run(_ask(place, hostile_dsn, _WHO, **few))
            return
        user, database, encoding, log, name, setting = place.run(_ask(place, dsn, _WHO, **options))
        assert (user, database, encoding, log) == ("postgres", "hostile", "UTF8", "none")
        assert name.startswith("name ")
        assert setting == text

    throw()


@pytest.mark.parametrize("name", ["user", "database", "replication", "options", "password", "client_encoding", "a b",
                                  "application_name -c log_statement", "a\0user", "a=b", "-c", "", "USER"])  # fmt: skip
def test_settings_that_are_none(name: str) -> None:
    for make in (create_engine, create_async_engine):
        with pytest.raises(ConfigurationError, match="settings"):
            make("postgresql://host/database", settings={name: "x"})


def test_a_failed_connection_does_not_show_the_password(place: Place) -> None:
    @budget(6)
    @given(storable, storable)
    def throw(before: str, after: str) -> None:
        password = _percent((before + MARK + after)[:300])
        for dsn in (
            f"postgresql://user:{password}@127.0.0.1:1/database",
            f"postgresql:///d?host=/nowhere&password={password}",
        ):
            with pytest.raises(PSQLModelError) as caught:
                place.run(_ask(place, dsn, ["SELECT 1"], connect_timeout=5))
            assert MARK not in _said(caught.value)

    throw()


def test_a_refused_password_is_not_shown(place: Place, server: Server, hostile_dsn: str) -> None:
    wrong = hostile_dsn.replace("postgres@", f"nobody:{MARK}@")
    assert wrong != hostile_dsn
    with pytest.raises(PSQLModelError) as caught:
        place.run(_ask(place, wrong, ["SELECT 1"]))
    assert MARK not in _said(caught.value)


# --- names of databases and files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ['"; DROP DATABASE hostile; --', "'\\ $do$ %s é", "a/b?c#d@e"])
def test_a_database_that_is_made(place: Place, server: Server, name: str) -> None:
    dsn = server.create_database("hostile_place").replace("hostile_place", _percent(name))
    try:
        assert place.run(_ask(place, dsn, ["SELECT current_database()::text"], ensure_database=True)) == [name]
    finally:
        server.drop_database(name)
        server.drop_database("hostile_place")


@budget(100)
@given(texts)
@example("../../etc/passwd")
@example("\0")
@example("os; import sys")
def test_a_path_of_models_is_a_path(text: str) -> None:
    from psqlmodel.core.engine.discovery import find_models

    for path in (text + "/hostile", text + "/hostile.py"):
        with pytest.raises(ConfigurationError):
            find_models((path,))


@pytest.mark.parametrize("folder", ['it\'s a "folder", $(touch x)', "é %s \\ -c x=y;#?&@:"])
def test_a_folder_of_an_embedded_server(tmp_path: Path, folder: str) -> None:
    data = tmp_path / folder / "data"
    data.parent.mkdir()
    with create_engine(f"embedded://{data}") as engine:
        assert engine.execute("SHOW data_directory").scalar() == str(data)
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("text", ["a\0b", *ATTACKS[:2], "\ud800"])
def test_a_name_of_an_embedded_database(server: Server, text: str) -> None:
    if is_storable(text):
        dsn = server.create_database(text)
        with create_engine(dsn) as engine:
            assert engine.execute("SELECT current_database()::text").scalar() == text
        server.drop_database(text)
        return
    with pytest.raises(PSQLModelError):
        server.create_database(text)


@budget(300)
@given(texts)
def test_what_is_fuzzed_by_hand_holds_here_too(text: str) -> None:
    try_one(text)
