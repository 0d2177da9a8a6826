"""`ddpm` and `python -m ddpm_cli`: where every process of the command line begins."""

import sys

try:
    from ddpm_cli import signals
except KeyboardInterrupt:  # before there is anything that could hear it
    sys.exit(130)


def main() -> int:
    """Run the command line; a signal that comes during the imports is heard already."""
    signals.install()
    from ddpm_cli import cli

    return cli.run()


if __name__ == "__main__":
    sys.exit(main())
