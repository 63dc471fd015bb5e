"""A route of the service: what every one of them does before, and instead of, what FastAPI does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from forgetcast import strict_json
from forgetcast.errors import ForgetcastError, InvalidRequest
from service.api.dependencies import Requires
from service.api.problems import Refused
from service.api.query import QueryNames

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Raises InvalidRequest, and JSONDecodeError, which FastAPI knows."""
        try:
            return strict_json.load(await self.body())
        except JSONDecodeError:
            raise
        except ValueError as error:
            raise InvalidRequest(f"the body: {error}") from error


class Route(APIRoute):
    """Checks the caller's scope and the query before the body, and says what broke a body off as it is."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        required = [found.dependency for found in self.dependencies if isinstance(found.dependency, Requires)]

        names = QueryNames.of(self.dependant)

        async def handled(request: Request) -> Response:
            for requires in required:
                await requires(request.scope["caller"])
            names.check(request)
            try:
                return await handle(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                if isinstance(error.__cause__, Refused | ForgetcastError):
                    raise error.__cause__ from None
                raise

        return handled
