"""The file of cameras: what it may say, and how mistakes are named."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from streamdenoise.security.passwords import hash_token
from streamdenoise.serve.config.camera import Camera
from streamdenoise.serve.config.file import (
    Mistake,
    MistakesError,
    ServiceConfig,
    ServiceFile,
    parse_config,
)
from tests.support.command import run

PATH = Path("cameras.toml")
SECRET = "hunter2secret"

GOOD = """
[defaults]
segment = "10m"
keep = ["7d", "50GB"]
output = "/srv/{camera}/%Y-%m-%d_%H-%M-%S.mkv"

[cameras.a]
source = "rtsp://me:hunter2secret@cam/1"
sigma = 12
mask = "0,0,8,8"
rotate = 90
[cameras.b]
source = "testsrc:"
output = ["/srv/b/%H-%M-%S.mkv", "rtsp://127.0.0.1/b"]
keep = []
strength-chroma = 2
tls-fingerprint = []
"""


def parsed(text: str) -> ServiceConfig:
    return parse_config(text.encode(), PATH)


def mistakes(text: str) -> list[tuple[int, str]]:
    with pytest.raises(MistakesError) as caught:
        parsed(text)
    assert caught.value.lines() == [
        f"cameras.toml:{each.line}: {each.text}" for each in caught.value.mistakes
    ]
    return [(each.line, each.text) for each in caught.value.mistakes]


def test_cameras_are_live_jobs_with_shared_defaults() -> None:
    a, b = (each.config for each in parsed(GOOD).cameras)
    assert a.live.outputs == ("/srv/a/%Y-%m-%d_%H-%M-%S.mkv",)
    assert (a.live.segment_s, a.live.keep) == (600, ("7d", "50GB"))
    assert (a.live.denoise.sigma, a.live.filters.rotate) == (12, 90)
    assert a.live.filters.masks == ((0, 0, 8, 8),)
    assert not a.live.window
    assert a.live.reconnect.first, "a camera that is off at first is awaited"
    assert a.live.max_lag_ms is not None, "many cameras share a machine"
    assert b.live.keep == ()
    assert b.live.outputs[1] == "rtsp://127.0.0.1/b"
    assert b.live.denoise.strength_chroma == 2


def test_a_camera_may_be_watched_only() -> None:
    (camera,) = parsed('[cameras.a]\nsource = "testsrc:"').cameras
    assert camera.config.live.outputs == ("null:",)


def test_no_secret_is_shown() -> None:
    config = parsed(GOOD)
    shown = repr(config) + repr(config.cameras[0].config) + str(config.cameras)
    assert SECRET not in shown
    for wrong in (
        f'source = "rtsp://me:{SECRET}@cam/1"\nkeep = "7d"',
        f'source = ["rtsp://me:{SECRET}@cam/1"]',
        f'source = "testsrc:"\noutput = "rtsp://me:{SECRET}@cam"\n'
        f'[cameras.b]\nsource = "testsrc:"\noutput = "rtsp://me:{SECRET}@cam"',
    ):
        (mistake,) = mistakes(f"[cameras.a]\n{wrong}")
        assert SECRET not in mistake[1]


def test_every_mistake_is_named_with_its_line() -> None:
    text = """\
[server]
adress = "127.0.0.1:1"
[defaults]
modle = "nano"
crf = 99
[cameras.a]
source = "testsrc:"
strength = 9
mask = ["0,0,8"]
max-lag = 3
[cameras.b]
output = "same.mkv"
[cameras.c]
source = "testsrc:"
output = "same.mkv"
crf = 20
[cameras."d e"]
[cameras.f]
source = "testsrc:"
output = "./same.mkv"
crf = 21
transport = 5
[workers]
count = 0
memory = "lots"
[other]
"""
    found = mistakes(text)
    expected = [
        (2, "server.adress: adress is not a known key; did you mean address"),
        (4, "modle is not a known key; did you mean model"),
        (5, "defaults: crf 99 is out of range"),
        (8, "cameras.a: strength 9 is out of range"),
        (9, "cameras.a.mask: '0,0,8' is not an area"),
        (10, "cameras.a: max-lag 3 cannot be used"),
        (11, "cameras.b: source is missing"),
        (17, "'d e' cannot name a camera"),
        (22, "cameras.f: transport should be 'auto', 'tcp' or 'udp'"),
        (24, "workers.count: count should be greater than or equal to 1"),
        (25, "workers.memory: give a size such as 800MB"),
        (26, "other is not a known key"),
    ]
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, text), (_, begin) in zip(found, expected, strict=True):
        assert begin in text


def test_a_target_belongs_to_one_camera() -> None:
    found = mistakes(
        '[defaults]\noutput = "rtsp://127.0.0.1/x"\n'
        '[cameras.a]\nsource = "testsrc:"\n[cameras.b]\nsource = "testsrc:"\n'
        '[cameras.c]\nsource = "testsrc:"\noutput = "/tmp/a.mkv"\n'
        '[cameras.d]\nsource = "testsrc:"\noutput = "/tmp/./a.mkv"\n'
    )
    assert [line for line, _ in found] == [2, 12]
    assert "cameras.b: rtsp://127.0.0.1/x is an output of a already" in found[0][1]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a = 1\nb = \n", 2, "not TOML"),
        ("a = 1\na = 2\n", 2, "not TOML"),
        ("[cameras.a\n", 1, "not TOML"),
        ('a = """', 1, "not TOML"),
        ("cameras = 3", 1, "cameras must be a table"),
        ("[cameras]\na = 3", 2, "cameras.a must be a table"),
        ("", 0, "there is no camera"),
    ],
)
def test_files_that_are_no_configuration(text: str, line: int, why: str) -> None:
    found = mistakes(text)
    assert found[0][0] == line
    assert why in found[0][1]


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(MistakesError, match=r"cameras.toml:2: it is not text"):
        parse_config(b"# \n\xff", PATH)


KEYS = [field.alias or name for name, field in Camera.model_fields.items()]
VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.datetimes()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "10m", "7d", "x/%Y-%m-%d_%H-%M-%S.mkv", "0,0,64,64"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
TABLES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
SERVER = st.dictionaries(
    st.sampled_from(["address", "users", "tokens", "hosts", "key", "count", "memory"]),
    VALUES,
    max_size=3,
)


@given(TABLES, TABLES, SERVER, SERVER)
def test_any_value_is_taken_or_named(
    defaults: dict[str, Any],
    camera: dict[str, Any],
    server: dict[str, Any],
    workers: dict[str, Any],
) -> None:
    tables = {
        "server": server,
        "workers": workers,
        "defaults": defaults,
        "cameras": {"a": {"source": "testsrc:", **camera}},
    }
    text = tomlkit.dumps(tables)
    found: tuple[Mistake, ...] = ()
    try:
        parsed(text)
    except MistakesError as exc:
        found = exc.mistakes
    assert all(each.line for each in found), found


@given(st.text(alphabet='[]{}=",.\n ab1#', max_size=30) | st.text(max_size=30))
def test_any_text_is_taken_or_named(text: str) -> None:
    with pytest.raises(MistakesError):
        parse_config(text.encode("utf-8", "surrogatepass"), PATH)


def test_the_example_has_no_mistakes(tmp_path: Path) -> None:
    shown = run("serve", "--example")
    assert shown.exit_code == 0
    file = tmp_path / "cameras.toml"
    file.write_text(shown.output)
    checked = run("serve", "--check", file)
    assert checked.exit_code == 0
    assert "2 cameras, no mistakes" in checked.output
    # What is commented out may be used, too.
    text = re.sub(r"^# (?=\w+ = |\[)", "", shown.output, flags=re.MULTILINE)
    text = text.replace('source = "testsrc:640x360@10"\n', "", 1)
    hashed = run("serve", "--hash-password", typed="correct horse").output.strip()
    config = parsed(text.replace("scrypt$...", hashed))
    assert "viewer" in config.cameras[0].config.live.source
    assert config.server.users["anna"].rights == "control"
    assert config.workers.memory == 2_000_000_000
    assert config.mqtt is not None


def test_secrets_are_hashes() -> None:
    camera = '[cameras.a]\nsource = "testsrc:"\n'
    for key, option in (("users", "--hash-password"), ("tokens", "--new-token")):
        (mistake,) = mistakes(f'{camera}[server.{key}.anna]\nsecret = "{SECRET}"\n')
        assert mistake[0] == 4
        assert f"is no hash; streamdenoise serve {option} prints one" in mistake[1]
        assert SECRET not in mistake[1]
    token, hashed = run("serve", "--new-token").output.split()
    assert hash_token(token) == hashed
    parsed(f'{camera}[server.tokens.ha]\nsecret = "{hashed}"')
    found = mistakes(f'[server]\naddress = "here"\nkey = "k"\n{camera}')
    assert [line for line, _ in found] == [2, 3]


def test_check_names_mistakes_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text("[cameras.a]\nsorce = 1\n")
    result = run("serve", "--check", file)
    assert result.exit_code == 1
    assert f"{file}:2: cameras.a: sorce is not a known key; did you mean source?" in (
        result.stderr
    )
    missing = run("serve", "--check", tmp_path / "none.toml")
    assert missing.exit_code == 1
    assert "none.toml:0: it cannot be read: no such file" in missing.stderr
    assert "serve --example" in run("serve").stderr


def test_the_schema_takes_good_files_and_refuses_bad_ones() -> None:
    schema = ServiceFile.model_json_schema()
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(tomllib.loads(GOOD))
    assert not validator.is_valid(tomllib.loads(GOOD.replace("sigma", "sgima")))
    assert not validator.is_valid(tomllib.loads(GOOD.replace("= 90", '= "left"')))
    camera = schema["$defs"]["Camera"]["properties"]
    assert camera["strength"]["description"].startswith("How strongly to denoise")
