"""HEAD works where GET does: the same headers, and nothing after them."""

from __future__ import annotations

from service.api.asgi import App, Message, Receive, Scope, Send


class _Answered(Exception):
    """The head of the answer is out; the rest needs not be made."""


class Head:
    """ASGI layer that asks the app for what a GET would get, and keeps its body back."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise _Answered

        # In place, for what the app finds out about the request (its route, its caller) is told by the layers outside.
        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_head)
        except _Answered:
            pass
        finally:
            scope["method"] = "HEAD"
