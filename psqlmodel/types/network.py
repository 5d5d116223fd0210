"""Network addresses: inet and cidr as `ipaddress` objects, macaddr and macaddr8 as normalised texts.

An inet without a prefix length is an IPv4Address or IPv6Address, one with it an IPv4Interface or
IPv6Interface.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

from psqlmodel.errors import InvalidValueError
from psqlmodel.types.pgtype import PgType, pgtype, refuse

_ADDRESSES = (IPv4Address, IPv6Address)  # interfaces are addresses too
_NETWORKS = (IPv4Network, IPv6Network)


def _load_inet(text: str) -> IPv4Address | IPv4Interface | IPv6Address | IPv6Interface:
    return ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)


def _dump_inet(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        value = _parsed("inet", _load_inet, value)
    if not isinstance(value, _ADDRESSES):
        raise refuse("inet", value, "an ipaddress address or interface, or its text")
    text = str(value)
    if "%" in text:
        raise InvalidValueError("inet has no scope such as %eth0")
    return text


def _dump_cidr(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        value = _parsed("cidr", ipaddress.ip_network, value)
    if not isinstance(value, _NETWORKS):
        raise refuse("cidr", value, "an ipaddress network, or its text")
    return str(value)


def _parsed(name: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise InvalidValueError(f"{name}: the text is no such address") from None


_SEPARATORS = re.compile("[:.-]")


def _mac(name: str, digits: int, oid: int, array_oid: int) -> PgType[str]:
    valid = re.compile(f"[0-9a-f]{{{digits}}}")

    def dump(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, str):
            raise refuse(name, value, "a str")
        plain = _SEPARATORS.sub("", value.lower())
        if not valid.fullmatch(plain):
            raise InvalidValueError(f"{name}: the text is no address of {digits} hexadecimal digits")
        return ":".join(plain[i : i + 2] for i in range(0, digits, 2))

    return pgtype(name, str, dump, oid=oid, array_oid=array_oid)


inet = pgtype("inet", IPv4Address, _dump_inet, load=_load_inet, oid=869, array_oid=1041)
cidr = pgtype("cidr", IPv4Network, _dump_cidr, load=ipaddress.ip_network, oid=650, array_oid=651)
macaddr = _mac("macaddr", 12, 829, 1040)
macaddr8 = _mac("macaddr8", 16, 774, 775)
