"""The application: the page, its API, and what protects them."""

from pathlib import Path

from fastapi import FastAPI, Security
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPBearer
from starlette.staticfiles import StaticFiles

from streamdenoise._version import __version__
from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.serve.service import Cameras
from streamdenoise.serve.web.access import Guard, Upload, check_secrets
from streamdenoise.serve.web.answers import documented, explain_errors
from streamdenoise.serve.web.cameras import cameras_router
from streamdenoise.serve.web.headers import SecurityHeaders
from streamdenoise.serve.web.login_limits import LoginLimits
from streamdenoise.serve.web.monitoring import Health, Metrics, monitoring_router
from streamdenoise.serve.web.pages import pages_router
from streamdenoise.serve.web.recordings import recordings_router
from streamdenoise.serve.web.session import session_router
from streamdenoise.serve.web.sessions import Sessions
from streamdenoise.serve.web.templates import STATIC, page
from streamdenoise.serve.web.try_it import (
    TRY_PATH,
    max_upload_bytes,
    try_it_router,
)
from streamdenoise.serve.web.video import video_router
from streamdenoise.service.http_server import AllowedHosts
from streamdenoise.service.status_server import parse_address

UPLOAD_S = 300.0
"""Longest time that a file to try may take to arrive."""
_ABOUT = (
    "Programs send a token in the header `Authorization: Bearer TOKEN`. Tokens with "
    "the right `view` may use all of GET; the others need `control`."
)


class _TokenScheme(HTTPBearer):
    """Tells the OpenAPI page about tokens; `Guard` looks at them."""

    async def __call__(self, connection: HTTPConnection) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


def create_app(
    cameras: Cameras,
    server: ServerConfig,
    *,
    metrics: Metrics | None = None,
    why_unhealthy: Health = lambda: "",
    sessions: Sessions | None = None,
    limits: LoginLimits | None = None,
    trials: Path | None = None,
) -> FastAPI:
    """The application that `PageServer` serves.

    Args:
        cameras: What it shows and controls.
        server: Users, tokens and names of this machine.
        metrics: Makes the page for Prometheus; None leaves it out.
        why_unhealthy: Says why the service is unhealthy.
        sessions: Those that are open, for another clock.
        limits: Limits of logins, for another clock.
        trials: Folder for what people try on the page, private; None leaves that out.

    Raises:
        ConfigError: A secret is no hash, or the address is malformed.
        OSError: The folder cannot be made.
    """
    check_secrets(server)
    sessions = sessions or Sessions()
    limits = limits or LoginLimits()
    app = FastAPI(
        title="streamdenoise",
        version=__version__,
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        # Their pages load scripts from other sites.
        docs_url=None,
        redoc_url=None,
    )
    app.state.has_trials = trials is not None
    token = [Security(_TokenScheme(description="A token"))]
    refusals = documented(401, 403)
    for router in (
        cameras_router(cameras),
        video_router(cameras, sessions),
        recordings_router(cameras),
        monitoring_router(metrics, why_unhealthy),
        *([try_it_router(trials, page)] if trials is not None else []),
    ):
        app.include_router(router, dependencies=token, responses=refusals)
    app.include_router(session_router(server, sessions, limits))
    app.include_router(pages_router(cameras))
    app.mount("/static", StaticFiles(directory=STATIC))
    explain_errors(app)
    # The last one is the outermost.
    app.add_middleware(
        Guard,
        server=server,
        sessions=sessions,
        uploads={TRY_PATH: Upload(max_upload_bytes(), UPLOAD_S)},
    )
    host, _ = parse_address(server.address, "server.address")
    app.add_middleware(
        AllowedHosts, names=(host, *server.hosts), remedy="add it to server.hosts"
    )
    app.add_middleware(SecurityHeaders)
    return app
