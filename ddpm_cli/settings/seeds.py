"""Lists of seeds as users write them."""

import re

from ddpm_cli.errors import ConfigError

LIMIT = 2**32
COUNT_LIMIT = 10**6  # seeds in one list


def parse(text: str) -> list[int]:
    """Parse seeds and inclusive ranges of seeds: "0-2,40" gives [0, 1, 2, 40]."""
    seeds: dict[int, None] = {}
    for token in text.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:\s*-\s*([0-9]+))?\s*", token)
        if match is None:
            raise ConfigError(f"--seeds {token!r}: this is no seed; write them as 0-9,40")
        first, last = _number(match[1]), _number(match[2] or match[1])
        if max(first, last) >= LIMIT:
            raise ConfigError(f"--seeds {token.strip()[:40]}: seeds go from 0 to {LIMIT - 1}")
        if first > last:
            raise ConfigError(f"--seeds {token.strip()}: a range runs upwards, as 0-9")
        if len(seeds) + last - first >= COUNT_LIMIT:
            raise ConfigError(
                f"--seeds {token.strip()}: more than {COUNT_LIMIT} seeds in one list"
            )
        twice = next((n for n in range(first, last + 1) if n in seeds), None)
        if twice is not None:
            raise ConfigError(f"--seeds {token.strip()}: seed {twice} is named twice")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return list(seeds)


def _number(digits: str) -> int:
    """The number that is written so, or LIMIT of more digits than a seed can have."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(LIMIT)) else LIMIT
