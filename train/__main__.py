"""``python -m train RECIPE``: train without the command line tool."""

import sys

from train.loop import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m train RECIPE.toml")
    main(sys.argv[1])
