"""Names of constraints and indexes: the same for the same model everywhere, never over 63 bytes.

`pk_users`, `uq_users_email`, `fk_orders_user_id_users`, `ix_users_name`, `ck_users_age`. Pure functions.
"""

from __future__ import annotations

# NAMEDATALEN - 1: PostgreSQL cuts longer names silently, and two cut names may be the same.
MAX_BYTES = 63
_HASH_LENGTH = 8


def stable_name(*parts: str) -> str:
    """Return the parts joined by `_`; a name over 63 bytes is cut and ends in a hash of the whole."""
    name = "_".join(part for part in parts if part)
    encoded = name.encode(errors="surrogatepass")
    if len(encoded) <= MAX_BYTES:
        return name
    head = encoded[: MAX_BYTES - _HASH_LENGTH - 1].decode(errors="ignore")
    return f"{head}_{fingerprint(name)}"


def fingerprint(text: str) -> str:
    """Return eight hexadecimal digits that stand for `text`."""
    import hashlib  # with OpenSSL; few names are so long

    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
