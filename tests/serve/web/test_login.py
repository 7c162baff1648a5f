"""Logging in, staying logged in, and guessing."""

from collections.abc import Iterator

import pytest

from streamdenoise.serve.config.server import Rights, ServerConfig
from streamdenoise.serve.web.app import create_app
from streamdenoise.serve.web.login_limits import PERIOD_S, TRIES, LoginLimits
from streamdenoise.serve.web.sessions import (
    IDLE_S,
    LIFETIME_S,
    MAX_SESSIONS,
    Sessions,
)
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import Running
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(cameras: MadeCameras, users: ServerConfig, clock: Clock) -> Iterator[Running]:
    """The page with users, whose time passes by hand."""
    app = create_app(
        cameras, users, sessions=Sessions(clock), limits=LoginLimits(clock)
    )
    with Running(app, users) as running:
        yield running


def test_login_and_logout(guarded: Running):
    client = guarded.client()
    assert client.ask("/api/cameras").code == 401
    answer = client.log_in()
    assert answer.json["rights"] == "control"
    assert client.ask("/api/cameras").code == 200
    assert client.ask("/api/session").json == answer.json
    kept = dict(client.cookies)
    assert client.ask("/api/session", "DELETE").code == 204
    client.cookies = kept  # whoever has copied the cookie is out, too
    assert client.ask("/api/cameras").code == 401


def test_pages_lead_to_the_login_and_back(guarded: Running):
    answer = guarded.client().ask("/cameras/yard", Accept="text/html")
    assert answer.code == 303
    assert answer.headers["Location"] == "/login?next=/cameras/yard"


def test_cookies_are_for_the_server_alone(guarded: Running):
    client = guarded.client()
    client.log_in()
    assert len(client.set_cookies) == 2
    for cookie in client.set_cookies:
        flags = {each.strip().lower() for each in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= flags


def test_a_login_never_keeps_the_id_that_was_there(guarded: Running):
    client = guarded.client()
    client.cookies["session"] = "chosen-by-an-attacker"
    client.log_in()
    first = client.cookies["session"]
    assert first != "chosen-by-an-attacker"
    client.log_in()
    assert client.cookies["session"] != first
    client.cookies["session"] = first
    assert client.ask("/api/cameras").code == 401


@pytest.mark.parametrize(
    ("pause_s", "count", "code"),
    [(IDLE_S - 1, 3, 200), (IDLE_S + 1, 1, 401), (IDLE_S - 1, 70, 401)],
    ids=["in use", "idle", "too old"],
)
def test_sessions_end(
    timed: Running, clock: Clock, pause_s: float, count: int, code: int
):
    assert count < 70 or count * pause_s > LIFETIME_S
    client = timed.client()
    client.log_in()
    for _ in range(count):
        clock.now += pause_s
        answer = client.ask("/api/cameras")
    assert answer.code == code


def test_the_oldest_of_too_many_sessions_ends():
    sessions = Sessions()
    used, unused = (sessions.open("ann", Rights.VIEW) for _ in range(2))
    for _ in range(MAX_SESSIONS - 1):
        sessions.open("ann", Rights.VIEW)
        sessions.use(used.id)
    assert sessions.is_open(used)
    assert not sessions.is_open(unused)


def test_guessing_is_slowed_down(timed: Running, clock: Clock):
    client = timed.client()
    codes = [client.log_in("ann", f"guess {n}").code for n in range(TRIES + 2)]
    assert codes == [401] * TRIES + [429] * 2
    # Even the right one, or guessing would go on.
    answer = client.log_in()
    assert answer.code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= PERIOD_S
    clock.now += PERIOD_S + 1
    assert client.log_in().code == 200


def test_a_browser_that_was_logged_in_is_not_locked_out(timed: Running):
    regular, attacker = timed.client(), timed.client()
    regular.log_in()
    while attacker.log_in("ann", "guess").code != 429:
        pass
    assert attacker.log_in().code == 429
    assert regular.log_in().code == 200
    # Its cookie helps nobody else.
    assert regular.log_in("bob").code == 429


def test_limits_of_addresses_and_names():
    limits = LoginLimits(Clock())
    for n in range(TRIES):
        assert not limits.begin(f"user {n}", "2001:db8::1", "")
    assert limits.begin("other", "2001:db8::2", "")  # the same network
    assert not limits.begin("other", "2001:db8:1::1", "")
    for n in range(TRIES):
        assert not limits.begin("ann", f"10.0.0.{n}", "")
    assert limits.begin("ann", "10.0.0.99", "")
    assert not limits.begin("bob", "10.0.0.99", "")


def test_memory_of_limits_is_bounded():
    clock = Clock()
    limits = LoginLimits(clock)
    for n in range(20_000):
        limits.begin(f"user {n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "")
    assert len(limits._tries) <= 10_002


def test_unknown_users_and_wrong_passwords_look_the_same(guarded: Running):
    answers = [
        guarded.client().log_in("ann", "wrong"),
        guarded.client().log_in("nobody", "wrong"),
    ]
    assert answers[0].json == answers[1].json
    assert answers[0].code == answers[1].code == 401


def test_without_users_there_is_nothing_to_log_in_to(opened: Running):
    client = opened.client()
    assert client.ask("/api/session").json["rights"] == "control"
    assert client.log_in().code == 409
