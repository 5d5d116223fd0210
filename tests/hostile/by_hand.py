"""Fuzzing that coverage guides, by hand: `pip install atheris`, then `python -m tests.hostile.by_hand [options]`.

It goes through what needs no server: DSNs, raw SQL, texts of arrays and hstore. The options are libFuzzer's, such as
`-max_total_time=60` (seconds). It is no test of the suite, and ends with the first input that breaks a promise.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any


def try_one(text: str) -> None:
    """Throw one text at everything here; raises for a broken promise."""
    from psqlmodel import ConfigurationError, InvalidValueError, QueryError, array_literal, parse_array, types
    from psqlmodel.core.engine.dsn import parse_dsn
    from psqlmodel.query.lexing import is_script, tokens
    from psqlmodel.query.raw import translate_params

    for dsn in (text, f"postgresql://{text}", f"host={text}"):
        with contextlib.suppress(ConfigurationError):
            _ = parse_dsn(dsn)
    assert "".join(piece for _, piece in tokens(text)) == text
    _ = is_script(text)
    with contextlib.suppress(QueryError):
        assert translate_params(text, ["value"])[1] == ["value"]
    with contextlib.suppress(InvalidValueError):
        wire: Any = types.text.array().dump([text])
        assert parse_array(array_literal(wire), None) == [text]
    with contextlib.suppress(InvalidValueError):
        assert types.hstore.load is not None
        assert types.hstore.load(types.hstore.dump({text: text})) == {text: text}


def main() -> None:
    """Fuzz until something breaks or the time is over."""
    import atheris  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

    with atheris.instrument_imports(include=["psqlmodel"]):
        import psqlmodel.core.engine.dsn
        import psqlmodel.query.raw  # noqa: F401

    def one_input(data: bytes) -> None:
        try_one(atheris.FuzzedDataProvider(data).ConsumeUnicode(len(data)))

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
