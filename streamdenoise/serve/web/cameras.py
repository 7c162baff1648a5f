"""The API of cameras: states, settings, single frames, figures and events."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from streamdenoise.serve.media.fragment import Side
from streamdenoise.serve.service import Cameras
from streamdenoise.serve.states import CameraChange, CameraState, Event, Point
from streamdenoise.serve.web.answers import documented, shown

Name = Annotated[str, Path(max_length=64, description="Name of a camera")]
Width = Annotated[
    int | None, Query(ge=16, le=7680, description="Most pixels of a row; else all")
]
Since = Annotated[
    float, Query(ge=0, description="Only later ones, in seconds since the epoch")
]


def cameras_router(cameras: Cameras) -> APIRouter:
    """Routes below ``/api/cameras``, and ``/api/events``."""
    router = APIRouter(prefix="/api", tags=["cameras"], responses=documented(422))

    @router.get("/cameras", response_model=list[CameraState])
    async def states() -> Response:
        """The states of all cameras."""
        return shown(cameras.states())

    @router.get(
        "/cameras/{name}", response_model=CameraState, responses=documented(404)
    )
    async def state(name: Name) -> Response:
        """The state of one camera."""
        return shown(cameras.state(name))

    @router.patch(
        "/cameras/{name}",
        response_model=CameraState,
        responses=documented(404, 408, 413),
    )
    async def change(name: Name, change: CameraChange) -> Response:
        """Change settings, until the service ends or its configuration changes."""
        return shown(await cameras.change(name, change))

    @router.get(
        "/cameras/{name}/frame.jpg",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **documented(404, 409)},
    )
    async def frame(
        name: Name, side: Side = Side.AFTER, width: Width = None
    ) -> Response:
        """The latest frame; 409 while the camera has none."""
        data = await cameras.frame(name, side, width)
        return Response(data, media_type="image/jpeg")

    @router.get(
        "/cameras/{name}/history",
        response_model=list[Point],
        responses=documented(404),
    )
    async def history(name: Name, since: Since = 0.0) -> Response:
        """Figures of the last hour, oldest first."""
        return shown([each for each in cameras.history(name) if each.time > since])

    @router.get(
        "/cameras/{name}/events",
        response_model=list[Event],
        responses=documented(404),
    )
    async def events(name: Name, since: Since = 0.0) -> Response:
        """The last events of a camera, newest first."""
        return shown([each for each in cameras.events(name) if each.time > since])

    @router.get("/events", response_model=list[Event])
    async def all_events(since: Since = 0.0) -> Response:
        """The last events of all cameras and of the service, newest first."""
        return shown([each for each in cameras.events() if each.time > since])

    return router
