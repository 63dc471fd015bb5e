"""The methods by name. A new one is added here."""

from __future__ import annotations

from forgetcast.completion.methods.additive import ADDITIVE
from forgetcast.completion.methods.blend import BLEND
from forgetcast.completion.methods.factor import FACTOR
from forgetcast.completion.methods.local import LOCAL
from forgetcast.completion.methods.method import Method
from forgetcast.completion.methods.popularity import POPULARITY
from forgetcast.errors import UnknownMethod

_METHODS: tuple[Method, ...] = (BLEND, LOCAL, FACTOR, POPULARITY, ADDITIVE)

METHODS = tuple(method.name for method in _METHODS)
DEFAULT_METHOD = BLEND.name
BASELINES = tuple(method.name for method in _METHODS if method.ranks_alike)


def method_named(method: str | Method) -> Method:
    """The method of this name; one that is given as an object is taken as it is.

    Raises
    ------
    UnknownMethod
    """
    if not isinstance(method, str):
        return method
    for known in _METHODS:
        if known.name == method:
            return known
    raise UnknownMethod(f"No completion method is called {method!r}; there are {', '.join(METHODS)}.")
