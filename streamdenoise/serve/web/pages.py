"""The pages for people; scripts fill them through the API."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from streamdenoise.inference.artifact import shipped_models
from streamdenoise.serve.service import Cameras
from streamdenoise.serve.web.operations import operations
from streamdenoise.serve.web.templates import page


def pages_router(cameras: Cameras) -> APIRouter:
    """Routes of the pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def grid(request: Request) -> Response:
        return page(request, "cameras.html")

    @router.get("/cameras/{name}")
    async def camera(request: Request, name: str) -> Response:
        state = cameras.state(name)
        models = ("auto", *shipped_models())
        return page(request, "camera.html", camera=state, models=models)

    @router.get("/login")
    async def login(request: Request) -> Response:
        return page(request, "login.html")

    @router.get("/docs")
    async def docs(request: Request) -> Response:
        schema = request.app.openapi()
        return page(request, "docs.html", operations=operations(schema))

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return RedirectResponse("/static/icon.svg", 308)

    return router
