"""``python -m streamdenoise`` is the command line tool."""

from streamdenoise.cli import main

if __name__ == "__main__":
    main()
