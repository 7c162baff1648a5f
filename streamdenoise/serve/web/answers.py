"""Answers of the API: values without secrets, and errors in one sentence."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from streamdenoise.errors import ConfigError, StreamDenoiseError
from streamdenoise.serve.service import CameraAwayError, UnknownCameraError
from streamdenoise.serve.web.headers import SECURITY_HEADERS
from streamdenoise.serve.web.templates import page
from streamdenoise.service.status_server import presentable


class Problem(BaseModel):
    """Why a request was not answered as asked."""

    detail: str
    """One sentence."""


def documented(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for the OpenAPI page."""
    return {code: {"model": Problem} for code in codes}


def shown(value: BaseModel | Sequence[BaseModel], code: int = 200) -> JSONResponse:
    """`value` as JSON, with credentials masked."""
    if isinstance(value, BaseModel):
        return JSONResponse(presentable(value.model_dump(mode="json")), code)
    return JSONResponse([presentable(each.model_dump(mode="json")) for each in value])


def explain_errors(app: FastAPI) -> None:
    """Answer every error with a `Problem`, or with a page where people look at it."""

    def answer(request: Request, code: int, why: str) -> Response:
        is_api = request.url.path.startswith("/api/")
        if not is_api and "text/html" in request.headers.get("accept", ""):
            return page(request, "error.html", code=code, why=presentable(why))
        return JSONResponse({"detail": presentable(why)}, code)

    def with_code(code: int) -> Callable[[Request, Exception], Response]:
        return lambda request, exc: answer(request, code, str(exc))

    def by_code(request: Request, exc: Exception) -> Response:
        known = cast("HTTPException", exc)
        why = known.detail if known.status_code != 404 else "there is no such page"
        response = answer(request, known.status_code, why)
        response.headers.update(known.headers or {})
        return response

    def invalid(request: Request, exc: Exception) -> Response:
        # Without the values, which may be passwords.
        problems = cast("RequestValidationError", exc).errors()
        sentences = [
            f"{'.'.join(map(str, each['loc'][1:])) or 'the request'}: {each['msg']}"
            for each in problems
        ]
        return answer(request, 422, "; ".join(sentences))

    def unexpected(request: Request, exc: Exception) -> Response:
        response = answer(request, 500, "something went wrong; the log says what")
        # Outside of the middleware that adds them.
        response.headers.update(SECURITY_HEADERS)
        return response

    app.add_exception_handler(UnknownCameraError, with_code(404))
    app.add_exception_handler(CameraAwayError, with_code(409))
    app.add_exception_handler(ConfigError, with_code(422))
    app.add_exception_handler(StreamDenoiseError, with_code(500))
    app.add_exception_handler(HTTPException, by_code)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)
