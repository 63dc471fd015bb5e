"""Passwords from files, as Docker and Kubernetes mount them: none stands in a URL, in `ps` or in a variable."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from forgetcast.errors import ConfigurationError


def with_password(url: str, file: Path, name: str) -> str:
    """The URL with the password that the file holds, whatever its characters; its last line break does not count.

    `name`: of the settings, as in FORGETCAST_<name>_URL. Raises ConfigurationError, which quotes no password.
    """
    variable = f"FORGETCAST_{name}_PASSWORD_FILE"
    scheme, separator, rest = url.partition("://")
    if not separator or not _takes_one(url):
        raise ConfigurationError(
            f"{variable} is for a FORGETCAST_{name}_URL that names a host and has no password of its own"
        )
    try:
        password = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{variable}: {file} cannot be read: {said}") from None
    if not password:
        raise ConfigurationError(f"{variable}: {file} is empty")
    address, slash, path = rest.partition("/")
    user, _, host = address.rpartition("@")
    return f"{scheme}://{user.removesuffix(':')}:{quote(password, safe='')}@{host}{slash}{path}"


def _takes_one(url: str) -> bool:
    try:
        parsed = urlsplit(url)
        return bool(parsed.netloc) and not parsed.password
    except ValueError:
        return False
