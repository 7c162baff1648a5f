"""Random requests, made from the API's own description."""

import operator
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streamdenoise.serve.states import Event
from streamdenoise.serve.web.app import create_app
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import Running, server_config

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ENDLESS = "/api/cameras/{name}/stream.mjpeg"


def metrics(accept: str) -> tuple[bytes, str]:
    return b"up 1\n", "text/plain; version=0.0.4"


def test_every_answer_is_as_documented(tmp_path: Path):
    cameras = MadeCameras(tmp_path / "recordings")
    cameras.given = [Event(time=1, camera="yard", kind="lost", text="lost")]
    config = server_config()
    app = create_app(cameras, config, metrics=metrics, trials=tmp_path / "trials")
    with Running(app, config) as running:
        schema = schemathesis.openapi.from_url(f"{running.page.url}api/openapi.json")
        codes = {
            operation.label: codes_of(operation)
            for operation in map(
                operator.methodcaller("ok"), schema.get_all_operations()
            )
            if operation.path != ENDLESS
        }
    assert len(codes) > 12
    assert 200 in codes["PATCH /api/cameras/{name}"]
    assert 200 in codes["GET /api/cameras/{name}/frame.jpg"]
    assert set().union(*codes.values()) >= {200, 401, 404, 422}


def codes_of(operation: Any) -> set[int]:
    """Ask for an operation in many ways; returns the codes of the answers."""
    codes: set[int] = set()

    @settings(
        max_examples=8,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        # Every other request is for a camera that there is.
        if len(case.path_parameters.get("name", "")) % 2:
            case.path_parameters["name"] = "yard"
            # Nor do all have a token, which is always wrong.
            case.headers.pop("Authorization", None)
        response = case.call()
        codes.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    ask()
    return codes
