"""The one table from errors to problems."""

from __future__ import annotations

import inspect

from forgetcast import errors
from forgetcast.errors import ForgetcastError
from service.api.problems import STATUS


def test_every_error_has_a_status() -> None:
    kinds = {
        kind
        for _name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ForgetcastError) and kind is not ForgetcastError
    }
    assert kinds == set(STATUS)


def test_every_code_is_used_once() -> None:
    codes = [kind.code for kind in STATUS]
    assert len(set(codes)) == len(codes)
