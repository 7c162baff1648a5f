"""Live video: fragments over a WebSocket, and JPEGs in a row for other programs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.service import (
    CameraAwayError,
    Cameras,
    UnknownCameraError,
)
from streamdenoise.serve.web.access import Access, Asking
from streamdenoise.serve.web.answers import Problem, documented, shown
from streamdenoise.serve.web.cameras import Name, Width
from streamdenoise.serve.web.sessions import Sessions

_BOUNDARY = "frame"
_AWAY_S = 1.0
"""How often a camera that is away is asked for a frame."""
_CLOSED_BY_LOGOUT = 4001
_CAMERA_IS_GONE = 4004

FrameRate = Annotated[float, Query(ge=0.1, le=30, description="Frames per second")]


def video_router(cameras: Cameras, sessions: Sessions) -> APIRouter:
    """Routes with live video of a camera."""
    router = APIRouter(prefix="/api/cameras/{name}", tags=["video"])

    @router.websocket("/video")
    async def video(
        socket: WebSocket,
        name: Name,
        access: Asking,
        side: Literal["after", "split"] = "after",
    ) -> None:
        try:
            cameras.state(name)
        except UnknownCameraError as exc:
            await socket.send_denial_response(shown(Problem(detail=str(exc)), 404))
            return
        await socket.accept()
        watching = cast(
            "AsyncGenerator[Fragment, None]", cameras.watch(name, Side(side))
        )
        sending = asyncio.create_task(_send(socket, watching, sessions, access))
        reading = asyncio.create_task(_until_closed(socket))
        try:
            await asyncio.wait((sending, reading), return_when="FIRST_COMPLETED")
        finally:
            for task in (sending, reading):
                task.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)

    @router.get(
        "/stream.mjpeg",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"multipart/x-mixed-replace": {}}},
            **documented(404, 422),
        },
    )
    async def stream(
        name: Name,
        access: Asking,
        side: Side = Side.AFTER,
        width: Width = None,
        fps: FrameRate = 5.0,
    ) -> Response:
        """Frames as JPEGs in a row, which browsers show in an image."""
        cameras.state(name)

        def is_allowed() -> bool:
            return access.session is None or sessions.is_open(access.session)

        async def parts() -> AsyncIterator[bytes]:
            while is_allowed():
                try:
                    data = await cameras.frame(name, side, width)
                except CameraAwayError:
                    await asyncio.sleep(_AWAY_S)
                    continue
                except UnknownCameraError:
                    return  # it was removed
                yield _part(data)
                await asyncio.sleep(1 / fps)

        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return StreamingResponse(parts(), media_type=kind)

    return router


async def _send(
    socket: WebSocket,
    watching: AsyncGenerator[Fragment, None],
    sessions: Sessions,
    access: Access,
) -> None:
    """Send fragments, each header after its type as text, until the login ends.

    Sending waits for the client: what it misses meanwhile, `watching` leaves out.
    """
    with suppress(WebSocketDisconnect, RuntimeError):  # the client is gone
        try:
            async with aclosing(watching):
                async for fragment in watching:
                    if access.session and not sessions.is_open(access.session):
                        await socket.close(_CLOSED_BY_LOGOUT, "logged out")
                        return
                    if fragment.is_header:
                        await socket.send_text(fragment.mime)
                    await socket.send_bytes(fragment.data)
        except UnknownCameraError:
            await socket.close(_CAMERA_IS_GONE, "this camera is gone")
        else:
            await socket.close()


async def _until_closed(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass  # nothing that clients say matters


def _part(data: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data + b"\r\n"
