"""What `ps` shows of this process, where its arguments hold passwords."""

import shlex
import sys

from streamdenoise.masking import mask_address


def hide_arguments() -> None:
    """Put the command line with its credentials masked in place of the true one.

    Until this is called everybody on the machine can read them: those in the
    environment or in a file are safe from the start. Does nothing where no argument
    holds credentials, or setproctitle is not installed. The title may take the room of
    the environment in ``/proc/PID/environ``, never that of `os.environ`.
    """
    # White space ends no address here: the whole of an argument is one.
    masked = [mask_address(each) for each in sys.orig_argv]
    if masked == sys.orig_argv:
        return
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.setproctitle(shlex.join(masked))
