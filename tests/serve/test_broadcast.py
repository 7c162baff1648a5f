"""One live video for several readers: none delays another, each can play its part."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator

import pytest

from streamdenoise.serve.media.fragment import Fragment
from streamdenoise.serve.workers import broadcast
from streamdenoise.serve.workers.broadcast import Broadcast

HEADER = Fragment(b"header", 'video/mp4; codecs="avc1"')
OTHER = Fragment(b"another", 'video/mp4; codecs="avc1"')


def frame(number: int, *, is_key: bool = False) -> Fragment:
    return Fragment(b"%04d" % number, is_key=is_key)


class Viewer:
    """A reader of a video, which takes pieces when it is asked to."""

    def __init__(self, video: Broadcast) -> None:
        iterator = video.read()
        assert isinstance(iterator, AsyncGenerator)
        self._pieces = iterator
        self._next: asyncio.Task[Fragment] | None = None

    async def begin(self) -> None:
        self._next = asyncio.ensure_future(anext(self._pieces))
        await asyncio.sleep(0)

    async def take(self) -> list[bytes]:
        """All that is there."""
        found: list[bytes] = []
        while True:
            assert self._next is not None
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not self._next.done():
                return found
            found.append(self._next.result().data)
            await self.begin()

    async def close(self) -> None:
        assert self._next is not None
        self._next.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._next
        await self._pieces.aclose()


def test_readers_begin_with_the_header_and_a_key_frame() -> None:
    async def check() -> None:
        wanted: list[bool] = []
        video = Broadcast(wanted.append)
        first = Viewer(video)
        assert not wanted
        await first.begin()
        assert wanted == [True]
        for piece in (frame(0, is_key=True), HEADER, frame(1)):
            video.put(piece)
        video.put(frame(2, is_key=True))
        assert await first.take() == [b"header", b"0002"]
        second = Viewer(video)
        await second.begin()
        video.put(HEADER)  # for the second, who has it already
        video.put(frame(3))
        video.put(frame(4, is_key=True))
        assert await first.take() == [b"0003", b"0004"]
        assert await second.take() == [b"header", b"0004"]
        await first.close()
        assert wanted == [True]
        await second.close()
        assert wanted == [True, False]

    asyncio.run(check())


def test_a_slow_reader_misses_pieces_up_to_a_key_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broadcast, "_MOST_BYTES", 40)

    async def check() -> None:
        video = Broadcast(lambda wanted: None)
        slow, fast = Viewer(video), Viewer(video)
        await slow.begin()
        await fast.begin()
        video.put(HEADER)
        seen: list[bytes] = []
        for number in range(30):
            video.put(frame(number, is_key=number % 10 == 0))
            seen += await fast.take()
        assert seen == [b"header", *(b"%04d" % number for number in range(30))]
        late = await slow.take()
        assert late[0] == b"header"
        numbers = [int(each) for each in late[1:]]
        for before, after in itertools.pairwise(numbers):
            assert after == before + 1 or after % 10 == 0
        assert numbers[-1] == 29
        for viewer in (slow, fast):
            await viewer.close()

    asyncio.run(check())


def test_another_stream_and_another_job_begin_with_their_header() -> None:
    async def check() -> None:
        video = Broadcast(lambda wanted: None)
        viewer = Viewer(video)
        await viewer.begin()
        for piece in (HEADER, frame(0, is_key=True), OTHER, frame(1)):
            video.put(piece)
        video.put(frame(2, is_key=True))
        assert (await viewer.take())[-2:] == [b"another", b"0002"]
        video.begin_anew()
        for piece in (OTHER, frame(0), frame(1, is_key=True)):
            video.put(piece)
        assert await viewer.take() == [b"another", b"0001"]
        await viewer.close()

    asyncio.run(check())
