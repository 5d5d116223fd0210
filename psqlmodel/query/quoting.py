"""Quoting, as the query layer and those above it import it: it lies with the types, which quote names too."""

from __future__ import annotations

from psqlmodel.types.quoting import MAX_IDENTIFIER_BYTES, qualified, quote, quote_literal

__all__ = ["MAX_IDENTIFIER_BYTES", "qualified", "quote", "quote_literal"]
