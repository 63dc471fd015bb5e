"""Columns as a pandas DataFrame. Pandas is loaded when somebody asks for one; nothing else here needs it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from forgetcast.errors import ConfigurationError


def data_frame(columns: Mapping[str, Any], *, index: str | None = None) -> Any:
    """A DataFrame of columns by name, without those that are None; `index` names the one that the rows go by.

    Raises
    ------
    ConfigurationError : there is no pandas
    """
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "A DataFrame needs pandas: pip install pandas. to_dict and to_numpy need none."
        ) from error
    frame = pandas.DataFrame({name: column for name, column in columns.items() if column is not None})
    return frame if index is None else frame.set_index(index)
