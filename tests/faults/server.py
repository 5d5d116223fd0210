"""Observer: a second way to look at the server."""

from __future__ import annotations

from typing import Any

import psycopg2


class Observer:
    """A plain connection beside the engine under test: what does the server say?"""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True

    def query(self, sql: str, args: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, args or None)
            return cursor.fetchall() if cursor.description else []

    def others(self, condition: str = "true") -> int:
        """How many other client connections of this database are there?"""
        sql = f"""SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND {condition}"""
        return int(self.query(sql)[0][0])

    def wait_until(self, sql: str, seconds: float = 20) -> None:
        """Return when the condition holds; the server itself waits, in steps of 5 ms."""
        self.query(
            f"""DO $$ BEGIN
                FOR i IN 1..{int(seconds * 200)} LOOP
                    PERFORM pg_stat_clear_snapshot();
                    IF {sql} THEN RETURN; END IF;
                    PERFORM pg_sleep(0.005);
                END LOOP;
                RAISE EXCEPTION 'it never became true';
            END $$"""
        )

    def wait_for_others(self, count: int, condition: str = "true") -> None:
        self.wait_until(
            f"""(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND {condition}) = {count}"""
        )

    def terminate_others(self) -> None:
        self.query(
            """SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
        )

    def close(self) -> None:
        self._connection.close()
