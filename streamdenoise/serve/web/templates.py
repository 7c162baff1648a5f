"""Pages from templates; names and texts in them are escaped."""

from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from streamdenoise._version import __version__
from streamdenoise.serve.web.access import Access

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
_TEMPLATES = Jinja2Templates(_FOLDER / "templates")


def page(request: Request, name: str, code: int = 200, **context: object) -> Response:
    """Render a template.

    Args:
        request: What asks for it.
        name: File in ``templates/``, which extends ``base.html``.
        code: Status of the answer.
        context: What the template uses, besides `access` and `version`.
    """
    access = cast("Access | None", request.scope.get("access"))
    session = access.session if access else None
    app = cast("Starlette", request.app)
    shared = {
        "access": access,
        "csrf_token": session.csrf_token if session else "",
        "code": code,
        "has_trials": app.state.has_trials,
        "version": __version__,
    }
    return _TEMPLATES.TemplateResponse(request, name, {**shared, **context}, code)
