"""``python -m streamdenoise`` runs the command line."""

from streamdenoise.cli.main import main

if __name__ == "__main__":
    main()
