"""The API of recordings: to list, play, download and delete them."""

from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from streamdenoise.serve.service import Cameras, UnknownCameraError
from streamdenoise.serve.states import Recording
from streamdenoise.serve.web.answers import documented, shown
from streamdenoise.serve.web.cameras import Name

_KINDS = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".ts": "video/mp2t",
}
"""Media types; a browser plays nothing else, and above all runs none of it."""
_OTHER = "application/octet-stream"

RecordingId = Annotated[
    str, Path(max_length=512, description="`id` of a recording in the list")
]
AsDownload = Annotated[
    bool, Query(description="Let the browser save it instead of playing it")
]


def recordings_router(cameras: Cameras) -> APIRouter:
    """Routes with the recordings of a camera."""
    router = APIRouter(
        prefix="/api/cameras/{name}/recordings",
        tags=["recordings"],
        responses=documented(404, 422),
    )

    @router.get("", response_model=list[Recording])
    async def recordings(name: Name) -> Response:
        """Recorded files of a camera, newest first."""
        return shown(await cameras.recordings(name))

    @router.get(
        "/{recording_id:path}",
        response_class=FileResponse,
        responses={
            200: {"content": {kind: {} for kind in (*_KINDS.values(), _OTHER)}},
            206: {"description": "The range that was asked for"},
            416: {"description": "The range is outside of the file"},
        },
    )
    async def recording(
        name: Name, recording_id: RecordingId, download: AsDownload = False
    ) -> Response:
        """A recorded file, or the part of it in the header Range."""
        # Folders are searched for it, which may take a while.
        path = await run_in_threadpool(
            cameras.recording_path, name, _inside(recording_id)
        )
        if not path.is_file():
            raise UnknownCameraError(f"there is no recording {recording_id}")
        return FileResponse(
            path,
            media_type=_KINDS.get(path.suffix.lower(), _OTHER),
            filename=f"{name}-{path.name}",
            content_disposition_type="attachment" if download else "inline",
            headers={"Cache-Control": "private, no-cache"},
        )

    @router.delete("/{recording_id:path}", status_code=204, response_class=Response)
    async def delete(name: Name, recording_id: RecordingId) -> Response:
        """Delete a recorded file."""
        await cameras.delete_recording(name, _inside(recording_id))
        return Response(status_code=204)

    return router


def _inside(recording_id: str) -> str:
    """`recording_id`, which cannot lead out of any folder.

    Raises:
        UnknownCameraError: It could, or is no path at all.
    """
    path = PurePosixPath(recording_id)
    is_inside = not path.is_absolute() and ".." not in path.parts
    if not is_inside or "\\" in recording_id or not recording_id.isprintable():
        raise UnknownCameraError(f"there is no recording {recording_id!r}")
    return recording_id
