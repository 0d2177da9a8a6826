"""`python -m ddpm_cli`: the same as `ddpm`, and the target of torchrun."""

import sys

from ddpm_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
