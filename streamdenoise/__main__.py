"""``python -m streamdenoise`` is the command line tool."""

from streamdenoise.cli.main import main

if __name__ == "__main__":
    main()
