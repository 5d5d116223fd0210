"""Operators that are rarer than a comparison: those of texts, arrays, ranges, JSON documents and hstore.

A mixin of `Expression`, which knows how operands are bound and joined; here is only which operator a method
means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from psqlmodel.errors import QueryError

if TYPE_CHECKING:
    from psqlmodel.query.expression import Condition, Expression

_SIGNS: Final = frozenset("+-*/<>=~!@#%^&|`?")


class Operators:
    """The operators of texts and containers."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _beside(self, operator: str, value: Any) -> Expression[Any]: ...
        def _beside_text(self, operator: str, value: Any) -> Expression[Any]: ...
        def _like(self, operator: str, pattern: Any) -> Condition: ...
        def _is_text(self) -> bool: ...

    # --- texts ----------------------------------------------------------------------------------------------

    def Like(self, pattern: Any) -> Condition:
        r"""Match a LIKE pattern: `%` stands for any text, `_` for one character, `\` makes either literal."""
        return self._like(" LIKE ", pattern)

    def NotLike(self, pattern: Any) -> Condition:
        """Test that a LIKE pattern does not match."""
        return self._like(" NOT LIKE ", pattern)

    def ILike(self, pattern: Any) -> Condition:
        """Match a LIKE pattern, whatever the case of letters."""
        return self._like(" ILIKE ", pattern)

    def NotILike(self, pattern: Any) -> Condition:
        """Test that a LIKE pattern does not match, whatever the case of letters."""
        return self._like(" NOT ILIKE ", pattern)

    def StartsWith(self, text: Any) -> Condition:
        """Test whether the text begins with another, taken literally: `%` and `_` are themselves."""
        if isinstance(text, str):
            return self.Like(like_literal(text) + "%")
        from psqlmodel.query.containers import starts_with

        return starts_with(self, text)

    def EndsWith(self, text: Any) -> Condition:
        """Test whether the text ends with another, taken literally."""
        if isinstance(text, str):
            return self.Like("%" + like_literal(text))
        from psqlmodel.query.containers import ends_with

        return ends_with(self, text)

    def Contains(self, value: Any) -> Condition:
        """Test whether a text contains another (literally), or an array, range or JSON document a value.

        For texts this is LIKE; for others `@>`, with a value of the same type (a list for arrays) or, for
        ranges, one of their elements.
        """
        from psqlmodel.query.containers import contained, text_contains

        if not self._is_text():
            return self._beside(" @> ", contained(self, value))
        if isinstance(value, str):
            return self.Like("%" + like_literal(value) + "%")
        return text_contains(self, value)

    def Matches(self, pattern: Any) -> Condition:
        """Match a POSIX regular expression."""
        return self._beside_text(" ~ ", pattern)

    def IMatches(self, pattern: Any) -> Condition:
        """Match a POSIX regular expression, whatever the case of letters."""
        return self._beside_text(" ~* ", pattern)

    # --- arrays, ranges -------------------------------------------------------------------------------------

    def Has(self, value: Any) -> Condition:
        """Test whether an array has `value` among its elements."""
        from psqlmodel.query.containers import has

        return has(self, value)

    def ContainedBy(self, value: Any) -> Condition:
        """Test whether an array, range or JSON document is contained in `value` (`<@`)."""
        return self._beside(" <@ ", value)

    def Overlaps(self, value: Any) -> Condition:
        """Test whether two arrays or ranges have an element in common (`&&`)."""
        return self._beside(" && ", value)

    def Adjacent(self, value: Any) -> Condition:
        """Test whether two ranges touch without overlapping (`-|-`)."""
        return self._beside(" -|- ", value)

    def Before(self, value: Any) -> Condition:
        """Test whether a range lies strictly left of another (`<<`)."""
        return self._beside(" << ", value)

    def After(self, value: Any) -> Condition:
        """Test whether a range lies strictly right of another (`>>`)."""
        return self._beside(" >> ", value)

    # --- JSON, hstore ---------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Expression[Any]:
        from psqlmodel.query.containers import item

        return item(self, key)

    def text(self) -> Expression[str]:
        """Read a JSON value as text: `User.data["name"].text() == "x"`."""
        from psqlmodel.query.containers import json_text

        return json_text(self)

    def HasKey(self, key: Any) -> Condition:
        """Test whether a JSON object, or hstore, has a key (or a JSON array a text)."""
        return self._beside_text(" ? ", key)

    def HasAnyKey(self, keys: Iterable[str]) -> Condition:
        """Test whether a JSON object, or hstore, has one of the keys."""
        return self._beside(" ?| ", _keys(keys))

    def HasAllKeys(self, keys: Iterable[str]) -> Condition:
        """Test whether a JSON object, or hstore, has all of the keys."""
        return self._beside(" ?& ", _keys(keys))

    def Op(self, operator: str, value: Any) -> Expression[Any]:
        """Apply any other operator of PostgreSQL: `Item.place.Op("<->", [1, 2, 3])`."""
        if not operator or not set(operator) <= _SIGNS or "--" in operator or "/*" in operator:
            raise QueryError(f"{operator!r} is no operator of PostgreSQL")
        return self._beside(f" {operator} ", value)


def like_literal(text: str) -> str:
    """Return `text` as a LIKE pattern that matches it alone."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _keys(keys: Iterable[str]) -> Expression[Any]:
    from psqlmodel.query.containers import text_array

    return text_array(keys)
