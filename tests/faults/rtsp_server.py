"""A small RTSP server on loopback, in a separate process.

FFmpeg's writer holds the interpreter lock while it waits for an answer, so a server in
a thread of the same process could never answer.
"""

import base64
import json
import re
import socket
import subprocess
import sys
import threading
from io import BufferedRWPair
from typing import Self


class RTSPServer:
    """Runs the server in the context, and afterward has what it saw.

    Args:
        password: Password of the user `me` for players.
        publishing_password: Password of the user `me` for publishers.
        freeze: Keep a player's connection open in silence after the last packet.
        stall: A method that is never answered.
        stop_reading: Stop reading after RECORD was answered.
        port: Port to listen on; 0 takes a free one.
    """

    def __init__(
        self,
        *,
        password: str = "",
        publishing_password: str = "",
        freeze: bool = False,
        stall: str = "",
        stop_reading: bool = False,
        port: int = 0,
    ) -> None:
        self._arguments = [
            password,
            publishing_password,
            "freeze" if freeze else "",
            stall,
            "stop_reading" if stop_reading else "",
            str(port),
        ]
        self.methods: list[str] = []
        self.description = ""
        self.frames = 0
        self.times: list[int] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def kill(self) -> None:
        """End it in mid-stream, as a crash would; it then reports nothing."""
        self._process.kill()

    def __exit__(self, *exc: object) -> None:
        try:
            report = self._process.communicate(timeout=10)[0]
        finally:
            self._process.kill()
            self._process.wait()
        if not report:
            return
        seen = json.loads(report)
        self.methods = seen["methods"]
        self.description = seen["description"]
        self.times = seen["times"]
        self.frames = len(self.times)


class Server:
    """Records published streams (ANNOUNCE, RECORD) and plays them back (PLAY).

    With a `password`, players need Basic authentication. After the last packet the
    player's connection is closed, or with `freeze` kept open in silence.
    """

    def __init__(
        self,
        password: str,
        publishing_password: str,
        freeze: bool,
        stall: str,
        stop_reading: bool,
        port: int,
    ) -> None:
        self.description = b""
        self.packets: list[bytes] = []
        self.methods: list[str] = []
        self._passwords = {"DESCRIBE": password, "ANNOUNCE": publishing_password}
        self._freeze = freeze
        self._stall = stall
        self._stop_reading = stop_reading
        self.listener = socket.create_server(("127.0.0.1", port))
        self._idle = threading.Event()
        self._idle.set()

    def serve(self) -> None:
        while True:
            self._idle.set()
            connection, _ = self.listener.accept()
            self._idle.clear()
            with connection, connection.makefile("rwb") as stream:
                try:
                    self._talk(stream)
                except (OSError, ValueError):
                    continue  # the other side is gone

    def wait_until_idle(self) -> None:
        """Wait for the end of the last connection, if it ends by itself."""
        if not (self._freeze or self._stall or self._stop_reading):
            self._idle.wait(5)

    def _talk(self, stream: BufferedRWPair) -> None:
        while True:
            first = stream.read(1)
            if not first:
                return
            if first == b"$":
                channel = stream.read(1)[0]
                data = stream.read(int.from_bytes(stream.read(2), "big"))
                if channel == 0:
                    self.packets.append(data)
                continue
            line = (first + stream.readline()).decode().split()
            headers = {}
            while (text := stream.readline().decode().strip()) != "":
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", 0)))
            self.methods.append(line[0])
            if line[0] == self._stall:
                threading.Event().wait()
            answer = ["RTSP/1.0 200 OK", f"CSeq: {headers.get('cseq', 0)}"]
            content = b""
            if password := self._passwords.get(line[0]):
                wanted = base64.b64encode(f"me:{password}".encode()).decode()
                if headers.get("authorization") != f"Basic {wanted}":
                    answer[0] = "RTSP/1.0 401 Unauthorized"
                    answer.append('WWW-Authenticate: Basic realm="test"')
            if line[0] == "OPTIONS":
                answer.append("Public: ANNOUNCE, DESCRIBE, SETUP, PLAY, RECORD")
            elif line[0] == "ANNOUNCE":
                self.description = body
            elif line[0] == "SETUP":
                if "TCP" not in headers["transport"]:
                    answer[0] = "RTSP/1.0 461 Unsupported transport"
                answer += ["Session: 1", "Transport: RTP/AVP/TCP;interleaved=0-1"]
            elif line[0] == "DESCRIBE" and "200" in answer[0]:
                content = re.sub(rb"(?m)^a=tool.*\r\n", b"", self.description)
                answer += ["Content-Type: application/sdp"]
            answer.append(f"Content-Length: {len(content)}")
            stream.write("\r\n".join(answer).encode() + b"\r\n\r\n" + content)
            stream.flush()
            if line[0] == "TEARDOWN":
                return
            if line[0] == "RECORD" and self._stop_reading:
                threading.Event().wait()
            if line[0] == "PLAY":
                for data in self.packets:
                    stream.write(b"$\0" + len(data).to_bytes(2, "big") + data)
                stream.flush()
                if self._freeze:
                    threading.Event().wait()
                return


def main() -> None:
    password, publishing_password, freeze, stall, stop_reading, port = sys.argv[1:]
    server = Server(
        password,
        publishing_password,
        bool(freeze),
        stall,
        bool(stop_reading),
        int(port),
    )
    print(server.listener.getsockname()[1], flush=True)
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdin.read()  # until the test closes it
    server.wait_until_idle()
    seen = {
        "methods": server.methods,
        "description": server.description.decode(),
        # RTP's timestamp of each frame, which ends with the marker bit.
        "times": [
            int.from_bytes(data[4:8], "big") for data in server.packets if data[1] >> 7
        ],
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
