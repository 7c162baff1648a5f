"""A trial in a process of its own, which is ended if it takes too long.

The child gets a line of JSON on stdin, and answers with a line on stdout. It decodes
nothing itself, see `run_trial`; it is there so that whatever happens in a model or an
encoder ends the trial alone, and takes no memory afterwards.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import Any

from streamdenoise import errors
from streamdenoise.errors import HungError, StreamDenoiseError
from streamdenoise.imaging.added_noise import AddedNoise, NoiseKind
from streamdenoise.imaging.metrics import Score, Scores
from streamdenoise.io.sandbox.confinement import SandboxLimits
from streamdenoise.jobs.trial import TrialConfig, TrialLimits, TrialResult, run_trial
from streamdenoise.security.import_path import python_child

_NICE = 10
"""Cameras come first."""
_LOOK_S = 1.0


def run_trial_apart(
    config: TrialConfig,
    limits: TrialLimits | None = None,
    on_start: Callable[[subprocess.Popen[str]], None] = lambda child: None,
) -> TrialResult:
    """`run_trial` in a child process, for at most `TrialLimits.wall_s`.

    Args:
        config: What to try.
        limits: What it may take.
        on_start: Gets the child, and may kill it at any time.

    Raises:
        HungError: It took longer, and was ended.
        StreamDenoiseError: See `run_trial`, or the child has crashed.
    """
    limits = limits or TrialLimits()
    request = {
        "config": asdict(config),
        "limits": asdict(limits),
        "parent": os.getpid(),
    }
    command, environment = python_child("-m", "streamdenoise.jobs.trial_process")
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
        start_new_session=True,
    ) as child:
        on_start(child)
        try:
            text = json.dumps(request, default=str) + "\n"
            answer, _ = child.communicate(text, timeout=limits.wall_s)
        except subprocess.TimeoutExpired as exc:
            raise HungError(
                f"{config.source}: trying it took more than {limits.wall_s:g} s and "
                "was ended; try a smaller or shorter one, or a smaller model"
            ) from exc
        finally:
            # Its decoder dies with it.
            child.kill()
    return _result(config.source, answer, child.returncode)


def _result(source: Path, answer: str, code: int) -> TrialResult:
    if not answer.endswith("\n"):
        why = f"with exit code {code}"
        if code < 0:
            why = f"by {signal.Signals(-code).name}"
        raise StreamDenoiseError(
            f"{source}: the process that tried it was ended {why}; try again, or a "
            "smaller one"
        )
    plain: dict[str, Any] = json.loads(answer)
    if "error" in plain:
        kind = getattr(errors, plain["error"], StreamDenoiseError)
        raise kind(plain["message"])
    if plain["scores"] is not None:
        found: dict[str, Any] = plain["scores"]
        before, after = (Score(**found[side]) for side in ("before", "after"))
        plain["scores"] = Scores(before, after, found["frames"])
    plain |= {key: tuple(plain[key]) for key in ("files", "notes")}
    return TrialResult(**plain)


def _config(plain: dict[str, Any]) -> TrialConfig:
    plain |= {key: Path(plain[key]) for key in ("source", "folder")}
    if plain["noise"] is not None:
        noise: dict[str, Any] = plain["noise"]
        noise |= {"kind": NoiseKind(noise["kind"])}
        plain |= {"noise": AddedNoise(**noise)}
    return TrialConfig(**plain)


def _limits(plain: dict[str, Any]) -> TrialLimits:
    sandbox: Any = SandboxLimits(**plain.pop("sandbox"))
    return TrialLimits(sandbox=sandbox, **plain)


def _end_with(parent: int) -> None:
    """End this process, and its decoder with it, when nobody waits for it any more."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def main() -> None:
    """Run the trial that stdin asks for."""
    os.nice(_NICE)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print on stdout
    request = json.loads(sys.stdin.readline())
    limits = _limits(request["limits"])
    Thread(target=_end_with, args=(request["parent"],), daemon=True).start()
    try:
        found = asdict(run_trial(_config(request["config"]), limits))
    except StreamDenoiseError as exc:
        found = {"error": type(exc).__name__, "message": str(exc)}
    except MemoryError:
        message = "there is too little memory to try it; try a smaller one"
        found = {"error": "DeviceMemoryError", "message": message}
    with answer:
        answer.write(json.dumps(found) + "\n")
        answer.flush()
        os._exit(0)  # libraries may hang when they are unloaded


if __name__ == "__main__":
    main()
