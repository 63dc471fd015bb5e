"""Settings as an operator means them."""

from __future__ import annotations

import re

import pytest
import redis.connection

from forgetcast.errors import ConfigurationError
from service.settings import Settings, read_settings
from service.storage.database import Database


def test_a_variable_that_is_empty_is_not_set(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FORGETCAST_{name.upper()}", "")
    empty = read_settings()
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FORGETCAST_{name.upper()}")
    assert empty == read_settings()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LEASE", "5", "must be a duration, written like PT30S"),
        ("LEASE", "PT0S", "must be more than 0 s"),
        ("CHECKPOINT", "10m", "must be a duration, written like PT30S"),
        ("DRAIN_DELAY", "-PT5S", "must be at least 0 s"),
        ("MAX_STEPS", "abc", "must be a whole number"),
        ("MAX_STEPS", "1.5", "must be a whole number"),
        ("MAX_BODY_BYTES", "-1", "must be at least 1"),
        ("CONCURRENT_REQUESTS", "0", "must be at least 1"),
        ("LOG_FORMAT", "xml", "must be 'auto', 'json' or 'text'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_words_of_its_own(monkeypatch, variable, value, said):
    monkeypatch.setenv(f"FORGETCAST_{variable}", value)
    with pytest.raises(ConfigurationError, match=f"FORGETCAST_{variable} {re.escape(said)}"):
        read_settings()


def test_passwords_come_from_files_whatever_their_characters(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("p@ss/w:rd %?#\n")
    monkeypatch.setenv("FORGETCAST_DATABASE_URL", "postgresql+psycopg://forgetcast@db:5432/forgetcast?sslmode=disable")
    monkeypatch.setenv("FORGETCAST_DATABASE_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("FORGETCAST_REDIS_URL", "redis://redis:6379/0")
    monkeypatch.setenv("FORGETCAST_REDIS_PASSWORD_FILE", str(tmp_path / "secret"))
    settings = read_settings()
    url = Database(settings.database).url
    assert (url.username, url.password, url.host, url.database) == ("forgetcast", "p@ss/w:rd %?#", "db", "forgetcast")
    assert redis.connection.parse_url(settings.redis_url)["password"] == "p@ss/w:rd %?#"


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("", b"secret"),
        ("sqlite:///file.db", b"secret"),
        ("postgresql://user:other@db/forgetcast", b"secret"),
        ("postgresql://[db/forgetcast", b"secret"),
        ("postgresql://user@db/forgetcast", b"\n"),
        ("postgresql://user@db/forgetcast", b"\xff"),
        ("postgresql://user@db/forgetcast", None),
    ],
)
def test_a_password_that_cannot_be_put_into_its_url_is_refused_and_not_quoted(monkeypatch, tmp_path, url, content):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("FORGETCAST_DATABASE_URL", url)
    monkeypatch.setenv("FORGETCAST_DATABASE_PASSWORD_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigurationError, match="FORGETCAST_DATABASE_PASSWORD_FILE") as raised:
        read_settings()
    assert "other" not in str(raised.value)
