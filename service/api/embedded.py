"""A service without keys is for this machine alone: not for a name that an attacker points at it, nor for other sites.

A browser on this machine sends a page's requests wherever the page says, also to loopback; but it says whose they are.
"""

from __future__ import annotations

import ipaddress

from forgetcast.errors import CrossSite
from service.api.asgi import Scope, header

OWN_SITE = {"", "same-origin", "none"}  # of Sec-Fetch-Site; none: a person typed the address


def check_local(scope: Scope) -> None:
    """Raises CrossSite for a request by another name than one of this machine's, or of a page of another site."""
    host = header(scope, b"host")
    name = _name(host)
    reached_at = (scope.get("server") or ("",))[0]
    if not (is_loopback(name) or (name and name == reached_at)):
        raise CrossSite(
            f"a service without API keys answers to localhost and loopback addresses, not to {host!r}; with a key it "
            f"answers to any name (forgetcast key create)"
        )
    origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
    if site not in OWN_SITE or origin.lower() not in ("", f"{scope['scheme']}://{host}".lower()):
        raise CrossSite(f"a page of {origin or 'another site'} may not ask a service without API keys")


def is_loopback(name: str) -> bool:
    """Whether this name or address is this machine's own, and nobody else's."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """Of a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
