"""API keys: `fck_<8 characters>_<43 characters>`, shown once, kept as the sha256 of a 256-bit secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from forgetcast import schemas
from forgetcast.errors import ApiKeyEnded
from forgetcast.schemas import Scope
from service.storage import keys as storage
from service.storage.database import Session, moment
from service.storage.tables import ApiKey

FORM = re.compile(r"fck_([a-z0-9]{8})_([0-9A-Za-z]{43})")
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Caller:
    """Who asks: the id of an API key and its scopes; without a key on an open loopback service, None and all."""

    key_id: str | None
    scopes: frozenset[Scope]
    name: str | None = None  # as the audit knows the caller

    def may(self, scope: Scope) -> bool:
        """Whether the caller holds this scope; `admin` holds all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Known(NamedTuple):
    """A key as it is remembered: the sha256 of its secret, and whose it is."""

    secret_sha256: str
    caller: Caller


NOBODY = Known("0" * 64, Caller(None, frozenset()))


@dataclass(frozen=True)
class LiveKeys:
    """The keys of one moment by id; `any_made`: whether there ever was one, also if none is live."""

    by_id: Mapping[str, Known]
    any_made: bool

    @staticmethod
    def cannot_be(presented: str) -> bool:
        """Whether no key looks like this, whichever keys there are."""
        return FORM.fullmatch(presented) is None

    def caller(self, presented: str) -> Caller | None:
        """Whose key this is.

        One comparison whether it is missing, malformed, unknown, expired, revoked or right, and one answer for all that
        is wrong.
        """
        form = FORM.fullmatch(presented)
        found = self.by_id.get(form[1], NOBODY) if form else NOBODY
        matches = hmac.compare_digest(_digest(form[2] if form else ""), found.secret_sha256)
        return found.caller if matches and found is not NOBODY else None


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


def live_keys(session: Session) -> LiveKeys:
    """Every key that is neither revoked nor expired."""
    found = {
        key_id: Known(digest, Caller(key_id, frozenset(map(Scope, scopes)), key_id))
        for key_id, digest, scopes in storage.live_keys(session)
    }
    return LiveKeys(found, any_made=bool(found) or has_keys(session))


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
