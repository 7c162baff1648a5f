"""What other programs watch: health, metrics and the version."""

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from streamdenoise._version import __version__
from streamdenoise.security.masking import mask_credentials
from streamdenoise.serve.web.answers import shown

Metrics = Callable[[str], tuple[bytes, str]]
"""Gets the header ``Accept``; returns the page for Prometheus and its media type."""
Health = Callable[[], str]
"""Returns why the service is unhealthy; empty if it is healthy."""

_TEXT: dict[str, dict[str, object]] = {"text/plain": {}}


class Version(BaseModel):
    """Which program answers."""

    version: str


def monitoring_router(metrics: Metrics | None, why_unhealthy: Health) -> APIRouter:
    """Routes ``/healthz``, ``/metrics`` and ``/api/version``."""
    router = APIRouter(tags=["monitoring"])

    @router.get(
        "/healthz",
        response_class=Response,
        responses={
            200: {"content": _TEXT},
            503: {"content": _TEXT, "description": "Unhealthy"},
        },
    )
    async def health(request: Request) -> Response:
        """Whether the service works; why it does not, only users and programs see."""
        why = why_unhealthy()
        if not why:
            return PlainTextResponse("ok\n")
        is_known = request.scope.get("access") is not None
        text = mask_credentials(why) if is_known else "unhealthy"
        return PlainTextResponse(f"{text}\n", 503)

    if metrics is not None:

        @router.get(
            "/metrics", response_class=Response, responses={200: {"content": _TEXT}}
        )
        async def figures(request: Request) -> Response:
            """Metrics for Prometheus."""
            body, kind = metrics(request.headers.get("accept", ""))
            return Response(body, headers={"Content-Type": kind})

    @router.get("/api/version", response_model=Version)
    async def version() -> Response:
        """The version of streamdenoise."""
        return shown(Version(version=__version__))

    return router
