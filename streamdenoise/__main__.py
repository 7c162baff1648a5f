"""The entry point of ``streamdenoise`` and ``python -m streamdenoise``."""

from streamdenoise.security.import_path import leave_present_folder


def main() -> None:
    """Run the command line tool."""
    leave_present_folder()  # before anything is imported that may be planted there
    from streamdenoise.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
