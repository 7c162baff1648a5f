"""GStreamer's RTSP server on loopback: a file with H.264 and sound, at its own pace.

Run by the system's Python, which has GStreamer's bindings. It prints its port, and ends
with stdin. Each client gets the file from its beginning.

    /usr/bin/python3 tests/faults/gst_sound_server.py PORT FILE CODEC

CODEC is pcm_mulaw, aac, libopus, or none to leave the sound out.
"""

import sys

import gi  # pyright: ignore[reportMissingImports]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    GLib,
    Gst,
    GstRtspServer,
)

_PAYLOADERS = {
    "pcm_mulaw": "rtppcmupay name=pay1 pt=0 max-ptime=20000000",
    "aac": "aacparse ! rtpmp4gpay name=pay1 pt=97",
    "libopus": "rtpopuspay name=pay1 pt=97",
}


def main() -> None:
    port, path, codec = sys.argv[1:]
    Gst.init(None)
    demuxer = "matroskademux" if path.endswith(".mkv") else "qtdemux"
    sound = f"demux. ! queue ! {_PAYLOADERS[codec]}" if codec in _PAYLOADERS else ""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( filesrc location={path} ! {demuxer} name=demux "
        "demux. ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 "
        f"{sound} )"
    )
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/live", factory)
    loop = GLib.MainLoop()
    if server.attach(None) == 0:
        sys.exit(f"port {port} cannot be used")
    print(server.get_bound_port(), flush=True)
    GLib.io_add_watch(0, GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
