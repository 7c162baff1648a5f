"""One live video for any number of readers, the slow ones among them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from streamdenoise.errors import StreamDenoiseError
from streamdenoise.serve.media.fragment import Fragment

_MOST_BYTES = 8 << 20
"""Most that waits for a reader; a slower one misses fragments up to a key frame."""


class _Reader:
    def __init__(self) -> None:
        self.waiting: deque[Fragment] = deque()
        self.size = 0
        self.has_more = asyncio.Event()
        self.has_begun = False
        """Whether a key frame has come, so that what follows can be played."""

    def put(self, fragment: Fragment) -> None:
        if fragment.is_header:
            # What came before belongs to the stream before.
            self.waiting.clear()
            self.size, self.has_begun = 0, False
        elif not self.has_begun and not fragment.is_key:
            return
        elif self.size + len(fragment.data) > _MOST_BYTES:
            headers = [each for each in self.waiting if each.is_header]
            self.waiting = deque(headers)
            self.size, self.has_begun = sum(len(each.data) for each in headers), False
            if not fragment.is_key:
                return
        self.has_begun = self.has_begun or fragment.is_key
        self.waiting.append(fragment)
        self.size += len(fragment.data)
        self.has_more.set()


class Broadcast:
    """Passes fragments on to those who read, and says when the first and last do."""

    def __init__(self, wanted: Callable[[bool], None]) -> None:
        """`wanted` is called when somebody reads, and when nobody does any more."""
        self._wanted = wanted
        self._readers: list[_Reader] = []
        self._header: Fragment | None = None
        self._end: StreamDenoiseError | None = None

    @property
    def is_read(self) -> bool:
        return bool(self._readers)

    def begin_anew(self) -> None:
        """Another job makes the video from now on: its times begin again."""
        self._header = None

    def put(self, fragment: Fragment) -> None:
        """Pass on a piece; those who are too slow may miss it."""
        if fragment.is_header:
            if fragment == self._header:
                return  # for another player: each has got it from here
            self._header = fragment
        for reader in self._readers:
            reader.put(fragment)

    def end(self, reason: StreamDenoiseError) -> None:
        """End all readers with an error; those that begin later, too."""
        self._end = reason
        for reader in self._readers:
            reader.has_more.set()

    async def read(self) -> AsyncIterator[Fragment]:
        """A header, then fragments from a key frame on, until the reader has enough.

        Raises:
            StreamDenoiseError: That of `end`.
        """
        reader = _Reader()
        if self._header is not None:
            reader.put(self._header)
        self._readers.append(reader)
        if len(self._readers) == 1:
            self._wanted(True)
        try:
            while self._end is None:
                await reader.has_more.wait()
                reader.has_more.clear()
                while reader.waiting:
                    fragment = reader.waiting.popleft()
                    reader.size -= len(fragment.data)
                    yield fragment
            raise self._end
        finally:
            self._readers.remove(reader)
            if not self._readers and self._end is None:
                # Where the video begins again is not known.
                self._header = None
                self._wanted(False)
