"""What a picture of walks shows, a row each: as users ask for it by --show."""

from ddpm_cli.errors import ConfigError, nearest

FORWARD, WALK, X0, DRIFT, SCORE, PATHS = "forward", "walk", "x0", "drift", "score", "paths"
STATES = (FORWARD, WALK, X0)  # of any data that have a picture
KINDS = (*STATES, DRIFT, SCORE, PATHS)
FIELDS = (DRIFT, SCORE, PATHS)  # of one or two numbers


def parse(text: str) -> tuple[str, ...]:
    """The rows that a list names, as forward,walk."""
    listed = tuple(word.strip() for word in text.split(","))
    for number, word in enumerate(listed):
        if word not in KINDS:
            raise ConfigError(f"--show {word!r}: no row of a picture; {nearest(word, KINDS)}")
        if word in listed[:number]:
            raise ConfigError(f"--show {word}: named twice; leave one out")
    return listed


def usual(row: tuple[int, ...], *, is_image: bool) -> tuple[str, ...]:
    """What a strip shows unless told, of images or of rows of this shape."""
    return (WALK, DRIFT) if row == (2,) and not is_image else (WALK,)


def check(show: tuple[str, ...], row: tuple[int, ...], *, is_image: bool) -> None:
    """Refuse rows that data of this kind and shape do not have."""
    for kind in show:
        if is_image and kind not in STATES:
            fix = f"of images there are {', '.join(STATES)}"
            raise ConfigError(f"--show {kind}: of one or two numbers alone; {fix}")
        if kind == DRIFT and row != (2,):
            raise ConfigError(f"--show {kind}: of two dimensions alone; leave it out")
