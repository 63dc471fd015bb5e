"""Where Forgetcast keeps its files: state (must not be lost), cache (deletable), and a person's own configuration."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """`FORGETCAST_HOME`; else `./.forgetcast` in a checkout of the project, else the user's data folder."""
    if chosen := os.environ.get("FORGETCAST_HOME"):
        return Path(chosen).expanduser()
    checkout = Path.cwd()
    if (checkout / "forgetcast").is_dir() and (checkout / "service").is_dir():
        return checkout / ".forgetcast"
    from platformdirs import user_data_path

    return user_data_path("forgetcast")


def cache_folder() -> Path:
    """`FORGETCAST_CACHE_DIR`, else the user's cache folder; everything in it can be made again."""
    if chosen := os.environ.get("FORGETCAST_CACHE_DIR"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("forgetcast")


def config_folder() -> Path:
    """The user's configuration folder, on Linux ~/.config/forgetcast."""
    from platformdirs import user_config_path

    return user_config_path("forgetcast")
