"""The events of cameras."""

from streamdenoise.serve.events import EventLog


def test_a_camera_that_is_forgotten_stays_so_until_it_is_back() -> None:
    log = EventLog()
    log.remember("a")
    log.add("a", "lost", "no route to host")
    log.forget("a")
    log.add("a", "failed", "it ends late")
    log.add("", "config", "the configuration was read again")
    assert [each.kind for each in log.latest()] == ["config"]
    assert not log.latest("a")
    log.remember("a")
    log.add("a", "live", "live, 160x120")
    assert [each.kind for each in log.latest("a")] == ["live"]
