"""Files for services and containers fit each other and the options of the program."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from streamdenoise import __version__
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.pipeline.stats import Stats
from streamdenoise.serve.config.file import read_config
from streamdenoise.service.status_server import StatusServer
from tests.support.command import ROOT, SAMPLES, app, outcome
from tests.support.skips import skip_or_fail

UNIT = SAMPLES / "systemd/streamdenoise@.service"
DOCKERFILES = [SAMPLES / "docker/Dockerfile", SAMPLES / "docker/Dockerfile.cuda"]
COMPOSE_FILES = [
    SAMPLES / f"{folder}/compose.yml" for folder in ("mediamtx", "frigate", "serve")
]
SERVE = SAMPLES / "serve"


def check_command(arguments: list[str]) -> dict[str, Any]:
    """The options of a command line, as the program itself reads them."""
    group: Any = typer.main.get_command(app)
    name, *rest = arguments
    with group.commands[name].make_context(name, rest) as context:
        return context.params


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


# systemd


def unit_lines() -> list[tuple[str, str]]:
    text = UNIT.read_text().replace("\\\n", " ")
    lines = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
    return [(key, value.strip()) for key, value in lines]


def environment_file() -> dict[str, str]:
    text = (SAMPLES / "systemd/front-door.env").read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        skip_or_fail("systemd", "systemd-analyze is not installed")
    return outcome([program, *arguments])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit for one camera, with a program that exists."""
    path = tmp_path / "streamdenoise@front-door.service"
    text = UNIT.read_text().replace("/opt/streamdenoise/bin/streamdenoise", "/bin/true")
    path.write_text(text)
    return path


def test_systemd_accepts_the_unit(unit: Path):
    done = analyze("verify", "--man=no", unit)
    # Those before 254 do not know the steps of the back-off, and do without.
    known = r"Unknown key.* '(RestartSteps|RestartMaxDelaySec)' in section"
    complaints = [each for each in done.stderr.splitlines() if unit.stem in each]
    assert [each for each in complaints if not re.search(known, each)] == []
    assert done.returncode == 0
    unit.write_text(unit.read_text().replace("Type=notify", "Type=notifies"))
    assert "notifies" in analyze("verify", "--man=no", unit).stderr


def test_the_unit_is_hardened(unit: Path):
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


def test_the_unit_never_gives_up_and_holds_no_secret():
    unit = dict(unit_lines())
    assert unit["StartLimitIntervalSec"] == "0"
    assert unit["Restart"] == "on-failure"
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) >= 10
    assert unit["SuccessExitStatus"] == str(128 + 15)
    assert "@" not in unit["ExecStart"]
    assert "--credentials-file %d/camera" in unit["ExecStart"]
    assert unit["LoadCredential"].startswith("camera:/etc/streamdenoise/")
    assert "@" not in "".join(environment_file().values())
    variables = [value for key, value in unit_lines() if key == "Environment"]
    assert FOLDER_VARIABLE in " ".join(variables)


def test_the_command_of_the_unit_parses():
    command = dict(unit_lines())["ExecStart"]
    for name, value in environment_file().items():
        command = command.replace(f"${{{name}}}", value).replace(f"${name}", value)
    assert "$" not in command
    assert dict(unit_lines())["EnvironmentFile"].endswith(".env")
    program, *arguments = shlex.split(command.replace("%d", "/run/credentials"))
    assert program.endswith("/streamdenoise")
    options = check_command(arguments)
    assert options["source"] == environment_file()["SOURCE"]
    assert options["window"] is False
    assert options["credentials_file"] == "/run/credentials/camera"
    assert len(options["outputs"]) == 2


# Docker


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]  # pyright: ignore[reportReturnType]


def last(dockerfile: Path, name: str) -> str:
    return [rest for key, rest in instructions(dockerfile) if key == name][-1]


def is_sent(path: str) -> bool:
    """Whether .dockerignore admits `path` to the build; the last matching rule counts.

    Rules of patterns with ``**`` are left out: they are about caches alone.
    """
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        rule = line.removeprefix("!")
        if rule and not rule.startswith(("#", "**")) and fnmatch(path, rule):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_copies_what_the_wheel_needs(dockerfile: Path):
    copied = []
    for name, rest in instructions(dockerfile):
        if name == "COPY" and "--from" not in rest:
            *sources, target = rest.split()
            copied += sources
            assert target == "./" or sources == [target]
    assert all((ROOT / source).exists() for source in copied)
    assert all(is_sent(source) for source in copied)
    assert not any(is_sent(path) for path in (".git", "data", "tests", "samples"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = {*wheel, "pyproject.toml", project["project"]["readme"]}
    needed |= set(project["project"]["license-files"])
    assert set(copied) == needed
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", dockerfile.read_text())
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    assert ("tensorrt" in extras) == dockerfile.name.endswith(".cuda")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_runs_unprivileged_and_is_pinned(dockerfile: Path):
    assert last(dockerfile, "USER") not in ("root", "0")
    assert last(dockerfile, "STOPSIGNAL") == "SIGTERM"
    assert FOLDER_VARIABLE in last(dockerfile, "ENV")
    for name, rest in instructions(dockerfile):
        if name == "FROM":
            assert re.search(r":[\w.-]*\d+\.\d+", rest), rest
    assert f"streamdenoise:{__version__}" in dockerfile.read_text()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_entry_point_of_an_image_parses(dockerfile: Path):
    program, *arguments = json.loads(last(dockerfile, "ENTRYPOINT"))
    assert program == "streamdenoise"
    options = check_command([*arguments, "rtsp://camera/1", "-o", "null:"])
    assert options["source"] == "rtsp://camera/1"
    assert options["window"] is False
    assert options["status"].endswith(f":{last(dockerfile, 'EXPOSE')}")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_the_health_check_reports_healthy_and_unhealthy(dockerfile: Path):
    _, _, command = last(dockerfile, "HEALTHCHECK").partition("CMD ")
    python, *arguments = json.loads(command)
    assert python == "python"
    exposed = last(dockerfile, "EXPOSE")

    def check(port: str) -> subprocess.CompletedProcess[str]:
        code = [each.replace(exposed, port) for each in arguments]
        return outcome([sys.executable, *code])

    with StatusServer(":0", "", stall_s=1e9) as server:
        port = server.address.rpartition(":")[2]
        ill = check(port)
        server.update(Stats(frames_in=1))
        well = check(port)
    assert (well.returncode, well.stdout) == (0, "ok\n\n")
    assert (ill.returncode, ill.stdout) == (1, "starting\n\n")
    assert check(port).returncode == 1  # no server is there


# Compose, MediaMTX, Frigate


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.parent.name)
def test_containers_are_pinned_and_restarted_and_their_files_exist(path: Path):
    compose = load(path)
    for name, service in compose["services"].items():
        assert re.search(r":\d+\.\d+\.\d+$", service["image"]), name
        assert service["restart"] == "unless-stopped"
        for volume in service.get("volumes", ()):
            source = volume["type"] if isinstance(volume, dict) else volume
            source = source.partition(":")[0]
            if source.startswith("./"):
                assert (path.parent / source).exists(), source
            elif not source.startswith("/") and source != "tmpfs":
                assert source in compose["volumes"]
    for other in compose.get("include", ()):
        assert (path.parent / other).is_file()


def test_the_denoiser_between_the_paths_of_mediamtx():
    services = load(SAMPLES / "mediamtx/compose.yml")["services"]
    service = services["streamdenoise"]
    build = service["build"]
    context = SAMPLES / "mediamtx" / build["context"]
    assert context.resolve() == ROOT
    dockerfile = context / build["dockerfile"]
    _, *arguments = json.loads(last(dockerfile, "ENTRYPOINT"))
    options = check_command([*arguments, *service["command"]])
    source, published = options["source"], options["outputs"][0]
    settings = load(SAMPLES / "mediamtx/mediamtx.yml")
    for address in (source, published):
        place, _, path = address.removeprefix("rtsp://").partition("/")
        assert place == "mediamtx:8554"
        assert path in settings["paths"]
    clean = published.rpartition("/")[2]
    assert settings["paths"][clean]["source"] == "publisher"
    camera = source.rpartition("/")[2]
    assert f"MTX_PATHS_{camera.upper()}_SOURCE" in services["mediamtx"]["environment"]
    publishers = [
        user
        for user in settings["authInternalUsers"]
        if any(each["action"] == "publish" for each in user["permissions"])
    ]
    assert [user["ips"] for user in publishers] == [
        [service["networks"]["video"]["ipv4_address"]]
    ]
    assert publishers[0]["permissions"] == [{"action": "publish", "path": clean}]
    recordings = Path(options["outputs"][1]).parent
    assert f"recordings:{recordings}" in service["volumes"]
    assert service["read_only"] is True


def test_frigate_sees_the_clean_stream():
    config = load(SAMPLES / "frigate/config.yml")
    settings = load(SAMPLES / "mediamtx/mediamtx.yml")
    image = load(SAMPLES / "frigate/compose.yml")["services"]["frigate"]["image"]
    assert config["version"].partition("-")[0] == ".".join(
        image.partition(":")[2].split(".")[:2]
    )
    roles = set()
    for camera in config["cameras"].values():
        for stream in camera["ffmpeg"]["inputs"]:
            place, _, name = stream["path"].removeprefix("rtsp://").partition("/")
            assert place == "127.0.0.1:8554"
            (address,) = config["go2rtc"]["streams"][name]
            path = address.removeprefix("rtsp://mediamtx:8554/")
            assert settings["paths"][path]["source"] == "publisher"
            roles |= set(stream["roles"])
    assert roles == {"detect", "record"}
    assert config["record"]["enabled"] is True


# The service of many cameras


def test_the_file_of_cameras_has_no_mistakes():
    config = read_config(SERVE / "cameras.toml")
    assert [camera.name for camera in config.cameras] == ["front-door", "yard"]
    service = load(SERVE / "compose.yml")["services"]["streamdenoise"]
    options = check_command(service["command"])
    folder, _, _ = service["volumes"][0].removeprefix("./:").partition(":")
    assert options["path"] == Path(folder) / "cameras.toml"
    (secret,) = service["secrets"]
    for camera in config.cameras:
        assert camera.config.live.credentials_file == f"/run/secrets/{secret}"
        assert camera.config.live.outputs[0].startswith("/recordings/")
    assert config.server.address.endswith(":8080")
    assert config.server.users, "other machines reach this address"


def test_systemd_accepts_the_unit_of_the_service(tmp_path: Path):
    text = (SERVE / "streamdenoise-serve.service").read_text()
    path = tmp_path / "streamdenoise-serve.service"
    path.write_text(text.replace("/opt/streamdenoise/bin/streamdenoise", "/bin/true"))
    done = analyze("verify", "--man=no", path)
    known = r"Unknown key.* '(RestartSteps|RestartMaxDelaySec)' in section"
    lines = [line for line in done.stderr.splitlines() if not re.search(known, line)]
    assert not [line for line in lines if path.name in line]
    joined = text.replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=\S+ (.*)$", joined, re.MULTILINE)
    check_command(command.split())
    name = "/run/credentials/streamdenoise-serve.service/cameras"
    assert name in text
    assert "LoadCredential=cameras:" in text
