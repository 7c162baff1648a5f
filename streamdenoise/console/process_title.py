"""The command line of this process in `ps`, with passwords masked."""

import shlex
import sys

from streamdenoise.security.masking import mask_address
from streamdenoise.security.plain_text import printable


def hide_arguments() -> None:
    """Replace the command line of this process by one with credentials masked.

    Until then every user of the machine can read them; credentials in the environment
    or in a file are never exposed. Does nothing if no argument contains credentials, or
    setproctitle is not installed. The title may overwrite ``/proc/PID/environ``, but
    not `os.environ`.
    """
    # Each argument may be an address: white space does not end it.
    masked = [mask_address(each) for each in sys.orig_argv]
    if masked == sys.orig_argv:
        return
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.setproctitle(shlex.join(map(printable, masked)))
