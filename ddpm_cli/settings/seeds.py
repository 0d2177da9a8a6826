"""Lists of seeds as users write them."""

import re

from ddpm_cli.errors import ConfigError

LIMIT = 2**32
COUNT_LIMIT = 10**6  # seeds in one list


def parse(text: str) -> list[int]:
    """Parse seeds and inclusive ranges of seeds: "0-2,40" gives [0, 1, 2, 40]."""
    seeds: dict[int, None] = {}
    for token in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,10})(?:\s*-\s*([0-9]{1,10}))?\s*", token)
        if match is None:
            raise ConfigError(f"--seeds {token!r}: this is no seed; write them as 0-9,40")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < LIMIT:
            raise ConfigError(
                f"--seeds {token.strip()}: a range runs upwards, from 0 to {LIMIT - 1}"
            )
        if len(seeds) + last - first >= COUNT_LIMIT:
            raise ConfigError(
                f"--seeds {token.strip()}: more than {COUNT_LIMIT} seeds in one list"
            )
        twice = next((n for n in range(first, last + 1) if n in seeds), None)
        if twice is not None:
            raise ConfigError(f"--seeds {token.strip()}: seed {twice} is named twice")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)
