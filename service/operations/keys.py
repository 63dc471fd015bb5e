"""API keys: `fck_<8 characters>_<43 characters>`, shown once, kept as the sha256 of a 256-bit secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from forgetcast import schemas
from forgetcast.errors import ApiKeyEnded, Unauthenticated
from forgetcast.schemas import Scope
from service.storage import keys as storage
from service.storage.database import Session, moment
from service.storage.tables import ApiKey

FORM = re.compile(r"fck_([a-z0-9]{8})_([0-9A-Za-z]{43})")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NO_ID = "-" * 8  # of no key: what is malformed costs the same look-up as what is unknown
NO_KEY = "0" * 64


@dataclass(frozen=True)
class Caller:
    """Who asks: the id of an API key and its scopes; without a key on an open loopback service, None and all."""

    key_id: str | None
    scopes: frozenset[Scope]
    name: str | None = None  # as the audit knows the caller

    def may(self, scope: Scope) -> bool:
        """Whether the caller holds this scope; `admin` holds all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


ANYBODY = Caller(None, frozenset(Scope))
COMMAND_LINE = Caller(None, frozenset(Scope), "command line")


def new_key(
    session: Session, name: str, scopes: Sequence[Scope], expires_in: timedelta | None = None
) -> schemas.ApiKeyCreated:
    """A new key; the only answer that holds its secret."""
    key_id = "".join(secrets.choice(ALPHABET[:10] + ALPHABET[36:]) for _ in range(8))
    secret = _base62(secrets.randbits(256))
    seconds = None if expires_in is None else expires_in.total_seconds()
    found = storage.insert_key(session, key_id, name, _digest(secret), [scope.value for scope in scopes], seconds)
    return schemas.ApiKeyCreated(**view(found).model_dump(), key=f"fck_{key_id}_{secret}")


def rotate_key(session: Session, key_id: str, overlap: timedelta) -> schemas.ApiKeyCreated:
    """A new key of the same name, scopes and lifetime; the old one goes on for `overlap`, so both work meanwhile.

    Raises
    ------
    ApiKeyNotFound
    ApiKeyEnded : what was revoked or has expired gets no successor
    """
    old = storage.get_key(session, key_id, lock=True)
    if storage.find_live_key(session, key_id) is None:
        raise ApiKeyEnded(f"the API key {key_id!r} was revoked or has expired; create a new one")
    lifetime = None if old.expires_at is None else timedelta(seconds=old.expires_at - old.created_at)
    created = new_key(session, old.name, [Scope(scope) for scope in old.scopes], lifetime)
    storage.end_key(session, old, overlap.total_seconds())
    return created


def revoke_key(session: Session, key_id: str) -> schemas.ApiKey:
    """End a key now; one that has ended stays as it is. Raises ApiKeyNotFound."""
    found = storage.get_key(session, key_id, lock=True)
    storage.end_key(session, found, 0)
    return view(found)


def read_key(session: Session, key_id: str) -> schemas.ApiKey:
    return view(storage.get_key(session, key_id))


def list_keys(session: Session, after: str, limit: int) -> list[schemas.ApiKey]:
    return [view(found) for found in storage.list_keys(session, after, limit)]


def authenticate(session: Session, presented: str) -> Caller:
    """The caller whose key this is.

    One look-up and one comparison whether the key is missing, malformed, unknown, expired, revoked or right, and one
    error for all that is wrong.

    Raises
    ------
    Unauthenticated
    """
    form = FORM.fullmatch(presented)
    found = storage.find_live_key(session, form[1] if form else NO_ID)
    expected = found.secret_sha256 if found is not None else NO_KEY
    matches = hmac.compare_digest(_digest(form[2] if form else ""), expected)
    if found is None or not matches:
        raise Unauthenticated
    return Caller(found.id, frozenset(Scope(scope) for scope in found.scopes), found.id)


def has_keys(session: Session) -> bool:
    """Whether any key was ever made: without one, only loopback is served."""
    return storage.any_key(session)


def view(found: ApiKey) -> schemas.ApiKey:
    return schemas.ApiKey(
        id=found.id,
        name=found.name,
        scopes=[Scope(scope) for scope in found.scopes],
        created_at=moment(found.created_at),
        expires_at=moment(found.expires_at),
        revoked_at=moment(found.revoked_at),
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _base62(number: int) -> str:
    digits = []
    for _ in range(43):  # 62 ** 43 is just above 2 ** 256
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(digits)
