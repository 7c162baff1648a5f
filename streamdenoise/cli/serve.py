"""The command that serves many cameras."""

import json
import logging
import os
import sys
from dataclasses import dataclass
from getpass import getpass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from streamdenoise.cli.options import LogFormat, Quiet
from streamdenoise.cli.terminal import print_progress, say
from streamdenoise.console import logs
from streamdenoise.errors import ConfigError
from streamdenoise.options import Argument, Option, Panel


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """What to do with the file of cameras."""

    path: Annotated[
        Path | None, Argument("File that describes the cameras, in TOML.", "FILE")
    ] = None
    check: Annotated[
        bool, Option("Name every mistake of FILE with its line.", Panel.CAMERAS)
    ] = False
    example: Annotated[
        bool, Option("Print a FILE with comments to start from.", Panel.CAMERAS)
    ] = False
    schema: Annotated[
        bool, Option("Print the JSON schema of FILE, for editors.", Panel.CAMERAS)
    ] = False
    hash_password: Annotated[
        bool, Option("Ask for a password, and print its hash for FILE.", Panel.CAMERAS)
    ] = False
    new_token: Annotated[
        bool,
        Option(
            "Print a token for a program, and then its hash for FILE.", Panel.CAMERAS
        ),
    ] = False


def serve(
    config: ServeConfig,
    log_format: LogFormat = logs.LogFormat.TEXT,
    quiet: Quiet = False,
) -> None:
    """Run many cameras as one service, with a page in the browser.

    SIGHUP, or a changed FILE, restarts the cameras that changed.
    """
    _need_packages()
    if config.example:
        say(files("streamdenoise.serve.config").joinpath("example.toml").read_text())
    elif config.schema:
        from streamdenoise.serve.config.file import ServiceFile

        say(json.dumps(ServiceFile.model_json_schema(), indent=2))
    elif config.hash_password:
        from streamdenoise.security.passwords import hash_password as hashed

        say(hashed(_password()))
    elif config.new_token:
        from streamdenoise.security.passwords import hash_token, new_token

        token = new_token()
        say(token)
        say(hash_token(token))
    elif config.path is None:
        raise ConfigError(
            "give the file of cameras; streamdenoise serve --example > cameras.toml "
            "makes one"
        )
    else:
        _serve(config.path, config.check)


def _serve(path: Path, check: bool) -> None:
    from streamdenoise.serve.config.file import MistakesError, read_config

    try:
        config = read_config(path)
    except MistakesError as exc:
        for line in exc.lines():
            print_progress(line)
        raise typer.Exit(1) from None
    if check:
        say(f"{path}: {len(config.cameras)} cameras, no mistakes")
        return
    # There is no process in front of this one, as other jobs have: the cameras run in
    # children, and this process touches no disk or driver that could hang it.
    from streamdenoise.serve.run import run_service

    # What happens to cameras is worth a line, even if all is well.
    logging.getLogger("streamdenoise.serve").setLevel(logging.INFO)
    if (signum := run_service(config)) is not None:
        raise typer.Exit(128 + signum)


def _password() -> str:
    """The password from the terminal, twice, or the first line of stdin.

    Raises:
        ConfigError: The two differ, or there is none.
    """
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass("Password: ")
        if getpass("Again: ") != password:
            raise ConfigError("the two passwords differ; try again")
    if not password:
        raise ConfigError("the password is empty; give one")
    return password


def _need_packages() -> None:
    """Raise `ConfigError` unless the service can run here."""
    if os.name != "posix":
        raise ConfigError("serve runs on Linux and macOS only; use live for one camera")
    from importlib.util import find_spec

    needed = ("pydantic", "fastapi", "jinja2", "websockets")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"serve needs {', '.join(missing)}, not installed here; "
            "pip install 'streamdenoise[serve]'"
        )
