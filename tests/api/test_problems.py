"""The one table from errors to problems."""

from __future__ import annotations

from forgetcast.errors import every_error
from service.api.problems import STATUS


def test_every_error_has_a_status_and_no_family_has_one() -> None:
    assert set(STATUS) == set(every_error())
