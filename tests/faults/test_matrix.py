"""The job recovers by itself from every fault of camera, line and viewer."""

import itertools
from collections.abc import Callable

import pytest

from tests.conftest import REPORT
from tests.faults.matrix import FAULTS, SINKS, Lane, run_matrix, table
from tests.faults.rig import RECOVERY_S, TIMEOUT_S

# The first test that uses the lanes runs all faults.
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

QUICK = [fault for fault in FAULTS if fault.recovery_s == RECOVERY_S]


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> list[Lane]:
    return run_matrix(QUICK, tmp_path_factory.mktemp("matrix"))


def test_outputs_have_each_frame_once_in_order_and_lose_none_without_a_fault(
    lanes: list[Lane], record_property: Callable[[str, object], None]
):
    cells = f"{len(QUICK) * len(SINKS)} cells of the fault matrix"
    record_property(REPORT, f"{cells}\n{table(lanes)}")
    assert [problem for lane in lanes for problem in lane.problems] == []


def test_every_output_has_frames_again_soon_after_every_fault(lanes: list[Lane]):
    for row, sink in itertools.product(
        (row for lane in lanes for row in lane.rows), SINKS
    ):
        verdict = row.verdicts[sink]
        # Twice the back-off, which grows with the outage, then a second for FFmpeg to
        # connect, and a key frame.
        outage_s = (row.window.end - row.window.begin) / 15 + TIMEOUT_S
        assert verdict.back_s < 2 * outage_s + 4, (row.fault.name, sink)


def test_a_machine_that_stops_the_camera_is_no_loss_of_the_job(lanes: list[Lane]):
    (frozen,) = [
        (row.window, lane.stalls)
        for lane in lanes
        for row in lane.rows
        if row.fault.name == "camera frozen"
    ]
    window, stalls = frozen
    assert any(
        stall.begin < window.end and stall.end > window.begin for stall in stalls
    )


def test_nothing_is_left_behind(lanes: list[Lane]):
    for lane in lanes:
        # OpenCV and the encoders start their threads during the first faults.
        if len(lane.rows) < 3:
            continue
        first, last = lane.rows[2].before, lane.rows[-1].after
        assert last.threads <= first.threads + 2
        assert last.descriptors <= first.descriptors + 2
        assert last.children == first.children
        assert last.rss_mb < first.rss_mb + 60


def test_a_stop_takes_less_than_two_seconds(lanes: list[Lane]):
    assert all(lane.stop_s < 2 for lane in lanes)
