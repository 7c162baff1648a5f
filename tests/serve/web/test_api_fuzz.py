"""Random requests, made from the API's own description."""

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from streamdenoise.serve.states import Event
from streamdenoise.serve.web.app import create_app
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import server_config

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("recordings")
    cameras = MadeCameras(folder)
    cameras.given = [Event(time=1, camera="yard", kind="lost", text="lost")]
    (folder / "yard").mkdir()
    (folder / "yard" / "a.mp4").write_bytes(bytes(1000))
    metrics = lambda accept: (b"up 1\n", "text/plain; version=0.0.4")  # noqa: E731
    app = create_app(cameras, server_config(), metrics=metrics)
    return schemathesis.openapi.from_asgi("/api/openapi.json", app)


schema = schemathesis.pytest.from_fixture("api")


# Videos have no end.
@schema.exclude(path_regex="stream.mjpeg").parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_documented(case: schemathesis.Case):
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    if "{name}" in case.path and "name" in case.path_parameters:
        # Half of all requests are for a camera that there is.
        if len(case.path_parameters["name"]) % 2:
            case.path_parameters["name"] = "yard"
    case.call_and_validate(checks=checks)
