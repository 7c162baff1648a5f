"""GStreamer's RTSP server on loopback: a live pattern, and a mount to publish to.

Run by the system's Python, which has GStreamer's bindings:

    /usr/bin/python3 tests/faults/gst_server.py --port 0 --auth digest

It prints its port, then executes one command per line of stdin and answers each with a
line (``ok`` unless noted), until stdin ends:

    size WxH            frames of another size from now on
    key-frames on|off   whether key frames are sent
    codec h264|h265     another encoder behind the same announcement (--change-codec)
    mute on|off         no frames, while the connections stay open
    drop-clients        closes every connection
    count               answers with the number of connections so far
    stalls              answers with the pairs of frames between which it made none,
                        as it or the machine was stopped: ok A-B A-B ...

Mounts: ``/live``, and for publishers ``/record``. The folder ``--record-to`` receives
the published streams: access units in ``published.h264``, and for each a line in
``published.txt`` with session number, RTP timestamp and size in bytes.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import gi  # pyright: ignore[reportMissingImports]
from frame_code import draw  # beside this script

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    Gio,
    GLib,
    Gst,
    GstApp,  # noqa: F401
    GstRtsp,
    GstRtspServer,
)

USER = "me"

_MAX_LATE_S = 1.0

_ENCODERS = {
    # One slice per frame: the payloader repeats the parameter sets before each slice of
    # a key frame, which looks like a new frame to receivers.
    "h264": "x264enc name=h264 tune=zerolatency speed-preset=ultrafast bitrate=400 "
    "key-int-max={key} sliced-threads=false threads=1 ! "
    "rtph264pay pt=96 config-interval=-1",
    "h265": "x265enc name=h265 tune=zerolatency speed-preset=ultrafast bitrate=400 "
    "key-int-max={key} ! rtph265pay pt=96 config-interval=-1",
}


class Camera(threading.Thread):
    """Pushes a frame to every running pipeline at each tick of the clock.

    Numbers follow the machine's clock from `epoch` on, so that they continue after the
    server was stopped, frozen or restarted.
    """

    def __init__(self, size: tuple[int, int], rate: int, epoch: float) -> None:
        super().__init__(daemon=True)
        self.size = size
        self.is_muted = False
        self.has_key_frames = True
        self.stalls: list[tuple[int, int]] = []
        self._rate = rate
        self._epoch = epoch
        self._lock = threading.Lock()
        self._outlets: dict[Gst.Element, int] = {}

    def add(self, source: Gst.Element) -> None:
        with self._lock:
            self._outlets[source] = -1

    def remove(self, source: Gst.Element) -> None:
        with self._lock:
            self._outlets.pop(source, None)

    def run(self) -> None:
        number = int((time.monotonic() - self._epoch) * self._rate)
        while True:
            elapsed = time.monotonic() - self._epoch
            # A busy machine delays frames without skipping any; a freeze skips them.
            last, number = number, int((elapsed - _MAX_LATE_S) * self._rate)
            if number > last + 1:
                self.stalls.append((last, number))
            number = max(last + 1, number)
            time.sleep(max(0.0, number / self._rate - elapsed))
            with self._lock:
                if not self.is_muted:
                    self._push(number)

    def _push(self, number: int) -> None:
        width, height = self.size
        data = None
        step = Gst.SECOND // self._rate
        for source, first in self._outlets.items():
            data = data or draw(number, width, height)
            if first < 0:
                first = self._outlets[source] = number
            caps = Gst.Caps.from_string(
                f"video/x-raw,format=I420,width={width},height={height},"
                f"framerate={self._rate}/1"
            )
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts, buffer.duration = (number - first) * step, step
            source.push_sample(Gst.Sample.new(buffer, caps, None, None))

    def filter_key_frames(self, _: Gst.Pad, info: Gst.PadProbeInfo) -> int:
        is_key = not info.get_buffer().has_flags(Gst.BufferFlags.DELTA_UNIT)
        if is_key and not self.has_key_frames:
            return Gst.PadProbeReturn.DROP
        return Gst.PadProbeReturn.OK


class LiveFactory(GstRtspServer.RTSPMediaFactory):
    """One pipeline for all clients, fed by the camera."""

    def __init__(self, camera: Camera, options: argparse.Namespace) -> None:
        super().__init__()
        self._camera = camera
        self._selectors: list[Gst.Element] = []
        encoders = {
            codec: text.format(key=options.key_interval)
            for codec, text in _ENCODERS.items()
        }
        source = (
            "appsrc name=source is-live=true format=time "
            "max-buffers=100 max-bytes=0 leaky-type=upstream ! "
        )
        if options.change_codec:
            self.set_launch(
                f"( {source} tee name=tee "
                f"tee. ! queue ! {encoders['h264']} ! selector.sink_0 "
                f"tee. ! queue ! {encoders['h265']} ! selector.sink_1 "
                "input-selector name=selector sync-streams=false ! identity name=pay0 )"
            )
        else:
            self.set_launch(f"( {source} {encoders[options.codec]} name=pay0 )")
        self.set_shared(True)
        self.set_latency(0)
        self.connect("media-configure", self._configured)

    def choose(self, codec: str) -> None:
        for selector in self._selectors:
            pad = selector.get_static_pad(f"sink_{['h264', 'h265'].index(codec)}")
            selector.set_property("active-pad", pad)

    def _configured(self, _: object, media: GstRtspServer.RTSPMedia) -> None:
        element = media.get_element()
        source = element.get_by_name("source")
        self._camera.add(source)
        media.connect("unprepared", lambda _: self._camera.remove(source))
        selector = element.get_by_name("selector")
        if selector is not None:
            self._selectors.append(selector)
        for codec in _ENCODERS:
            encoder = element.get_by_name(codec)
            if encoder is not None:
                encoder.get_static_pad("src").add_probe(
                    Gst.PadProbeType.BUFFER, self._camera.filter_key_frames
                )


class RecordFactory(GstRtspServer.RTSPMediaFactory):
    """Records published streams as access units."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._units = (folder / "published.h264").open("wb", buffering=0)
        self._index = (folder / "published.txt").open("w", buffering=1)
        self._sessions = 0
        self._lock = threading.Lock()
        self.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        self.set_launch(
            "( rtph264depay name=depay0 ! h264parse ! "
            "video/x-h264,stream-format=byte-stream,alignment=au ! "
            "appsink name=sink emit-signals=true sync=false async=false )"
        )
        self.set_latency(0)
        self.connect("media-configure", self._configured)

    def _configured(self, _: object, media: GstRtspServer.RTSPMedia) -> None:
        session, self._sessions = self._sessions, self._sessions + 1
        stamps = [0]
        element = media.get_element()

        def packet(_: Gst.Pad, info: Gst.PadProbeInfo) -> int:
            stamps[0] = int.from_bytes(info.get_buffer().extract_dup(4, 4), "big")
            return Gst.PadProbeReturn.OK

        def unit(sink: Gst.Element) -> int:
            buffer = sink.emit("pull-sample").get_buffer()
            data = buffer.extract_dup(0, buffer.get_size())
            with self._lock:
                self._units.write(data)
                self._index.write(f"{session} {stamps[0]} {len(data)}\n")
            return Gst.FlowReturn.OK

        element.get_parent().connect("element-added", _forget_lost_packets)
        depay = element.get_by_name("depay0")
        depay.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, packet)
        element.get_by_name("sink").connect("new-sample", unit)


def _forget_lost_packets(_: Gst.Bin, element: Gst.Element) -> None:
    """Gaps make the receiver's error correction abort the process (GStreamer 1.22)."""
    if element.get_factory().get_name() == "rtpbin":
        element.connect(
            "new-jitterbuffer", lambda _, each, *__: each.set_property("do-lost", False)
        )


class Server:
    """The RTSP server with its mounts and commands."""

    def __init__(self, options: argparse.Namespace) -> None:
        width, height = map(int, options.size.split("x"))
        self._camera = Camera((width, height), options.rate, options.epoch)
        self._live = LiveFactory(self._camera, options)
        self._connections = 0
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address("127.0.0.1")
        self._server.set_service(str(options.port))
        self._server.connect("client-connected", self._connected)
        mounts = self._server.get_mount_points()
        factories = {"/live": self._live}
        if options.record_to is not None:
            factories["/record"] = RecordFactory(options.record_to)
        transports = {
            "tcp": GstRtsp.RTSPLowerTrans.TCP,
            "udp": GstRtsp.RTSPLowerTrans.UDP,
            "both": GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP,
        }
        for path, factory in factories.items():
            factory.set_protocols(transports[options.protocols])
            if options.auth != "none" or options.tls is not None:
                _protect(factory)
            mounts.add_factory(path, factory)
        if options.auth != "none" or options.tls is not None:
            auth = _auth(options.auth, options.password)
            if options.tls is not None:
                auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.tls))
            self._server.set_auth(auth)
        if self._server.attach(None) == 0:
            sys.exit(f"port {options.port} cannot be used")
        self._camera.start()

    @property
    def port(self) -> int:
        return self._server.get_bound_port()

    def execute(self, name: str, argument: str) -> str:
        if name == "size":
            width, height = map(int, argument.split("x"))
            self._camera.size = width, height
        elif name == "key-frames":
            self._camera.has_key_frames = argument == "on"
        elif name == "codec":
            self._live.choose(argument)
        elif name == "mute":
            self._camera.is_muted = argument == "on"
        elif name == "drop-clients":
            remove = GstRtspServer.RTSPFilterResult.REMOVE
            self._server.client_filter(lambda *_: remove)
        elif name == "count":
            return str(self._connections)
        elif name == "stalls":
            return " ".join(["ok", *(f"{a}-{b}" for a, b in self._camera.stalls)])
        else:
            return f"unknown command {name}"
        return "ok"

    def _connected(self, *_: object) -> None:
        self._connections += 1


def _protect(factory: GstRtspServer.RTSPMediaFactory) -> None:
    """Require the password; without it, only the existence of the mount shows."""
    permissions = GstRtspServer.RTSPPermissions()
    for role, can_use in (("user", True), ("anonymous", False)):
        permissions.add_role(role)
        permissions.add_permission_for_role(role, "media.factory.access", True)
        permissions.add_permission_for_role(role, "media.factory.construct", can_use)
    factory.set_permissions(permissions)


def _auth(method: str, password: str) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    tokens = {}
    for role in ("user", "anonymous"):
        tokens[role] = GstRtspServer.RTSPToken()
        tokens[role].set_string("media.factory.role", role)
    auth.set_default_token(tokens["user" if method == "none" else "anonymous"])
    if method == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        basic = GstRtspServer.RTSPAuth.make_basic(USER, password)
        auth.add_basic(basic, tokens["user"])
    elif method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(USER, password, tokens["user"])
    return auth


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--auth", choices=("none", "basic", "digest"), default="none")
    parser.add_argument("--password", default="")
    parser.add_argument("--tls", help="certificate and key, as PEM")
    parser.add_argument("--protocols", choices=("tcp", "udp", "both"), default="both")
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--key-interval", type=int, default=25)
    parser.add_argument("--codec", choices=tuple(_ENCODERS), default="h264")
    parser.add_argument("--change-codec", action="store_true")
    parser.add_argument("--record-to", type=Path)
    parser.add_argument("--epoch", type=float, default=time.monotonic())
    options = parser.parse_args()
    Gst.init(None)
    server = Server(options)
    loop = GLib.MainLoop()
    print(server.port, flush=True)

    def listen() -> None:
        for line in sys.stdin:
            name, _, argument = line.strip().partition(" ")
            print(server.execute(name, argument), flush=True)
        loop.quit()

    threading.Thread(target=listen, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
