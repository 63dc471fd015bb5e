"""A route of the service: what every one of them does around what FastAPI does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from forgetcast.errors import ForgetcastError
from service.api.problems import Refused

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """Says what broke a body off, which FastAPI takes for an error of its own."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                if isinstance(error.__cause__, Refused | ForgetcastError):
                    raise error.__cause__ from None
                raise

        return handled
