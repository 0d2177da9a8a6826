"""Which words of a record may stand in a command that is printed to be typed again.

Records come with files of other people: whatever would write, run code or fetch is left out.
"""

from collections.abc import Iterator, Sequence

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal, one_line
from ddpm_cli.settings import code_names
from ddpm_cli.settings.config import RESTORING, SAMPLING
from ddpm_cli.settings.toml import parse_set

# The verbs whose results say how they were made.
_MAKERS = ("sample", "guide", "encode", "interpolate", "inpaint", "upscale")
# Where results go, what is replaced, what is run or fetched, and files of settings.
_NEVER = {
    "output", "force", "skip_existing", "trajectory", "moments", "trust", "scorer", "reward",
    "download", "compile", "config_file", "preset",
}  # fmt: skip
# What entries of a record of their own say.
_ELSEWHERE = {
    "model", "seeds", "label", "values", "texts", "texts_file", "negative", "batch", "device",
    "dtype", "as_json", "dry_run",
}  # fmt: skip
_SETTABLE = (*SAMPLING, *RESTORING)
_SETTABLE_KEYS = {"data": {"range"}}


def kept(group: click.Command, verb: str, words: Sequence[str], target: str) -> list[str]:
    """The words of a record that options of the verb are; what may not be there is warned of.

    Words that are none of its options, or values that do not fit them, are refused.
    """
    known = group.commands if isinstance(group, click.Group) else {}
    command = known.get(verb) if verb in _MAKERS else None
    if command is None:
        raise Refusal(f"{target}: its ddpm entry names no command: {verb!r}")
    options = {
        flag: option
        for option in command.params
        if isinstance(option, click.Option) and not option.is_eager
        for flag in option.opts
    }
    return list(_kept(options, words, target))


def _kept(options: dict[str, click.Option], words: Sequence[str], target: str) -> Iterator[str]:
    rest = iter(words)
    for flag in rest:
        if flag not in options:
            raise Refusal(f"{target}: its ddpm entry has {flag[:40]!r}, which is no option")
        option, value = options[flag], None
        if not option.is_flag:
            value = next(rest, None)
            if value is None:
                raise Refusal(f"{target}: its ddpm entry has {flag} without a value")
        if not _may_stand(option, value):
            said = one_line(flag if value is None else f"{flag} {value}")
            fix = "add it if you trust whoever made the file"
            console.warn(f"{target}: {said[:200]}: left out of the command; {fix}")
            continue
        if value is None:
            yield flag
            continue
        try:
            option.type.convert(value, option, None)
        except click.UsageError:
            raise Refusal(f"{target}: its ddpm entry has {flag} {value[:40]!r}") from None
        # A value that looks like an option stays one word with its own.
        yield from [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def _may_stand(option: click.Option, value: str | None) -> bool:
    if option.name in _NEVER or option.name in _ELSEWHERE:
        return False
    if option.name in ("classifier", "task", "restore"):
        return not code_names.is_code(value or "") and not code_names.is_pickle(value or "")
    if option.name == "assignments":
        try:
            settings = parse_set(value or "")
        except ConfigError:
            return False
        return all(
            table in _SETTABLE
            or (isinstance(keys, dict) and set(keys) <= _SETTABLE_KEYS.get(table, set()))
            for table, keys in settings.items()
        )
    return True
