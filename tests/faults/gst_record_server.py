"""GStreamer's RTSP server on loopback, which decodes the streams published to it.

Run by the system's Python, which has GStreamer's bindings. It prints its port, then
``frame`` and a timestamp in seconds for each decoded frame.

    python3 tests/faults/gst_record_server.py [PASSWORD]
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

LAUNCH = (
    "( rtph264depay name=depay0 ! h264parse ! decodebin "
    "! fakesink name=sink sync=false signal-handoffs=true )"
)


def report(line: str) -> None:
    print(line, flush=True)


def watch(_: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
    sink = media.get_element().get_by_name("sink")
    sink.connect(
        "handoff", lambda _, data, __: report(f"frame {data.pts / Gst.SECOND}")
    )
    media.connect("unprepared", lambda _: report("end"))


def guard(server: GstRtspServer.RTSPServer, password: str) -> dict[str, str]:
    """Let only the user `me` publish."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("me", password), token)
    server.set_auth(auth)
    return {"user": "user"}


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    factory.connect("media-configure", watch)
    if sys.argv[1:]:
        guard(server, sys.argv[1])
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/clean", factory)
    loop = GLib.MainLoop()
    server.attach(None)
    report(str(server.get_bound_port()))
    GLib.io_add_watch(0, GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
