"""Settings as an operator means them."""

from __future__ import annotations

from service.settings import Settings, read_settings


def test_a_variable_that_is_empty_is_not_set(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FORGETCAST_{name.upper()}", "")
    empty = read_settings()
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FORGETCAST_{name.upper()}")
    assert empty == read_settings()
