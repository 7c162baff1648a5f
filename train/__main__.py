"""``python -m train RECIPE`` trains without the command line tool."""

import sys

from streamdenoise.errors import StreamDenoiseError

from .loop import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m train RECIPE.toml")
    try:
        main(sys.argv[1])
    except StreamDenoiseError as exc:
        sys.exit(f"error: {exc}")
