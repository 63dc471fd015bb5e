"""API keys: `fck_<8 characters>_<43 characters>`, shown once, kept as the sha256 of a 256-bit secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from forgetcast.errors import Unauthenticated
from forgetcast.schemas import Scope
from service.storage.database import Session
from service.storage.keys import any_key, find_key, insert_key

FORM = re.compile(r"fck_([a-z0-9]{8})_([0-9A-Za-z]{43})")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NO_KEY = "0" * 64


def create_key(session: Session, name: str, scopes: Sequence[Scope]) -> str:
    """A new key in full; it is not shown again."""
    key_id = "".join(secrets.choice(ALPHABET[:10] + ALPHABET[36:]) for _ in range(8))
    secret = _base62(secrets.randbits(256))
    insert_key(session, key_id, name, _digest(secret), [scope.value for scope in scopes])
    return f"fck_{key_id}_{secret}"


def authenticate(session: Session, presented: str) -> tuple[str, frozenset[Scope]]:
    """Id and scopes of a key. Raises Unauthenticated, in one form whether it is malformed, unknown or revoked."""
    form = FORM.fullmatch(presented)
    found = find_key(session, form[1]) if form else None
    expected = found.secret_sha256 if found is not None else NO_KEY
    matches = hmac.compare_digest(_digest(form[2] if form else ""), expected)
    if found is None or not matches or found.revoked_at is not None:
        raise Unauthenticated
    return found.id, frozenset(Scope(scope) for scope in found.scopes)


def has_keys(session: Session) -> bool:
    """Whether any key was ever made: without one, only loopback is served."""
    return any_key(session)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _base62(number: int) -> str:
    digits = []
    for _ in range(43):  # 62 ** 43 is just above 2 ** 256
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(digits)
