"""What images shall be told: numbers as --value says them, and the texts of a file."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ddpm_cli import console, streams
from ddpm_cli.errors import ConfigError, Refusal, many, nearest

NULL = "none"  # a number that is not told
OWN = "own"  # what a data set says of each row
LIMIT = 10_000  # numbers of a name
FILE_LIMIT = 2**24  # bytes of a file of texts
TEXT_LIMIT = 10_000  # characters of a text
STDIN = "-"

Numbers = tuple[float | None, ...]


def numbers(words: Sequence[str], names: Sequence[str] | None = None) -> dict[str, Numbers]:
    """The numbers of each name that NAME=LIST gives, None of none; names: those there are.

    Without names any is taken.  A list has commas, and START:STOP:STEP in it stands for the
    numbers from START to STOP.
    """
    found: dict[str, Numbers] = {}
    for word in words:
        name, equals, listed = word.rpartition("=")
        name = name.strip()
        if not equals or not name:
            fix = f"write NAME=NUMBER, as {names[0] if names else 'age'}=37"
            raise ConfigError(f"--value {word!r}: {fix}")
        if names is not None:
            refuse_unknown(name, names)
        if name in found:
            fix = f"several numbers stand behind commas, as {name}=20,30"
            raise ConfigError(f"--value {name}: given twice; {fix}")
        found[name] = tuple(_listed(name, listed))
        _refuse_many(name, len(found[name]))
    return found


def refuse_unknown(name: str, names: Sequence[str]) -> None:
    """Refuse a number that is none of those that a model is told."""
    if not names:
        raise ConfigError("--value: this model was trained without values; leave it out")
    if name not in names:
        raise ConfigError(f"--value: no value is named {name!r}; {nearest(name, names)}")


def words(values: Mapping[str, float | Sequence[float | None] | None]) -> list[str]:
    """The words of --value that stand for these numbers, which come back as they are.

    Those that are not told need none. TypeError if they are no numbers.
    """
    told = {name: value for name, value in values.items() if value is not None}
    return [f"{name}={','.join(map(shown, _several(value)))}" for name, value in told.items()]


def _several(value: float | Sequence[float | None] | None) -> Sequence[float | None]:
    return value if isinstance(value, Sequence) else [value]


def shown(value: float | None) -> str:
    """A number as --value says it."""
    if not isinstance(value, int | float | None):
        raise TypeError("no number")
    return NULL if value is None else f"{value!r}".removesuffix(".0")


def _listed(name: str, listed: str) -> Iterator[float | None]:
    for part in map(str.strip, listed.split(",")):
        if part == NULL:
            yield None
        elif ":" in part:
            yield from _range(name, part)
        else:
            yield float(_number(name, part))


def _number(name: str, text: str) -> Decimal:
    try:
        number = Decimal("nan" if "_" in text else text.strip())  # Python alone reads 1_000
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or not abs(float(number)) < float("inf"):
        fix = f"write NAME=NUMBER, NAME={NULL} or NAME=START:STOP:STEP"
        raise ConfigError(f"--value {name}={text}: no number; {fix}")
    return number


def _range(name: str, text: str) -> list[float]:
    """START:STOP:STEP, both ends among them; a step that does not lead to STOP is refused."""
    what = f"--value {name}={text}"
    parts = text.split(":")
    if len(parts) != 3:
        raise ConfigError(f"{what}: write START:STOP:STEP, as 20:80:10")
    start, stop, step = (_number(name, part) for part in parts)
    way = stop - start
    if not step or (way and (way > 0) != (step > 0)):
        raise ConfigError(f"{what}: a step of {step} does not lead from {start} to {stop}")
    count = way / step
    _refuse_many(name, int(count) + 1)
    if count != int(count):
        last = start + int(count) * step
        fix = f"stop at {last} or {last + step}"
        raise ConfigError(f"{what}: steps of {step} from {start} miss {stop}; {fix}")
    return [float(start + number * step) for number in range(int(count) + 1)]


def _refuse_many(name: str, count: int) -> None:
    if count > LIMIT:
        raise ConfigError(f"--value {name}: {count} numbers; at most {LIMIT}")


def texts(place: str) -> list[str]:
    """The texts of a file, one a line, without empty lines; "-" is stdin."""
    option = f"--text-from {place}"
    if place == STDIN:
        data = sys.stdin.buffer.read(FILE_LIMIT + 1)
    else:
        with streams.opened(Path(place), FILE_LIMIT) as stream:
            data = stream.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise Refusal(f"{option}: more than {FILE_LIMIT} bytes; give a file of texts, one a line")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        what = f"{option}: no UTF-8 at byte {error.start}"
        raise Refusal(what, "give a file of texts, one a line") from None
    found = [line.strip() for line in lines if line.strip()]
    if empty := sum(not line.strip() for line in lines):
        console.warn(
            f"{option}: {many(empty, 'empty lines')} left out; {many(len(found), 'texts')}"
        )
    if not found:
        raise Refusal(f"{option}: no text in it; write one a line")
    for number, text in enumerate(found, 1):
        check(text, f"{option}: text {number}")
    return found


def check(text: str, what: str) -> None:
    """Refuse a text that no caption is; what: how messages call it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:  # what a shell hands on of other bytes
        fix = "write it in UTF-8, or give --text-from FILE"
        raise ConfigError(f"{what}: no UTF-8 at character {error.start}; {fix}") from None
    if "\0" in text:
        raise ConfigError(f"{what}: a NUL byte, which no text has; give a file of texts")
    if len(text) > TEXT_LIMIT:
        raise ConfigError(f"{what}: {len(text)} characters; at most {TEXT_LIMIT}")
