"""What a result says of its own making, and the command that makes it again."""

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_cli import __version__
from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.settings import asking
from ddpm_cli.settings.config import RESTORING, SAMPLING, Config
from ddpm_cli.settings.toml import toml_value

if TYPE_CHECKING:
    from ddpm_cli.files.checkpoints.header import Header
    from ddpm_cli.hardware import Compute


Kept = Callable[[str, Sequence[str]], Sequence[str]]
# What else the last bits of a result depend on; kept where it counts, on CUDA or if asked for.
ROUNDING = ("compile", "dynamic_shapes", "deterministic", "tf32", "cudnn_benchmark")
# What decides what a sample shows.
MADE_WITH = ("seeds", "hash", "guide", "settings", "class", "text", "values", "negative")
LENGTH_LIMIT = 100_000  # characters of a command; Linux takes 128 KiB in a word


def _all(verb: str, words: Sequence[str]) -> Sequence[str]:
    return words


def record(
    command: str,
    model: str,
    header: "Header",
    config: Config,
    compute: "Compute",
    batch: int,
    *,
    label: str | None = None,
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """What a result must carry so that the same one can be made again.

    arguments: the words of the options that only this command has. The files add their own
    seeds and inputs.
    """
    import torch

    entry: dict[str, Any] = {
        "version": __version__,
        "command": command,
        "model": model,
        "hash": header.hash,
        "class": label,
        "settings": {
            table: config.get(table, {"name": "none"})
            for table in SAMPLING
            if config.get(table) or header.config.get(table)
        },
        "batch": batch,
        "threads": torch.get_num_threads(),
        "device": compute.device.type,
        "dtype": str(compute.dtype).removeprefix("torch."),
        "rng": compute.rng,
    }
    if compute.rounding:
        entry["compute"] = compute.rounding
    return entry | {"arguments": list(arguments)} if arguments else entry


def differing(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What a result that is there was made with that another record says otherwise.

    Settings by their keys, as levels.count 3, not 4; nothing of a file without a record.
    """
    said = json.loads(json.dumps(wanted))
    other = [key for key in MADE_WITH if there and there.get(key) != said.get(key)]
    return [word for key in other for word in _differing(key, there.get(key), said.get(key))]


def _differing(key: str, there: Any, wanted: Any) -> list[str]:
    """How an entry differs from what is wanted: of settings each key with both values."""
    if key == "settings" and isinstance(there, dict) and isinstance(wanted, dict):
        tables = [table for table in there | wanted if there.get(table) != wanted.get(table)]
        pairs = [(table, there.get(table), wanted.get(table)) for table in tables]
        return [word for pair in pairs for word in _differing_table(*pair)]
    if key == "seeds":
        return [f"seed {there}, not {wanted}"]
    return [{"hash": "model", "guide": "guidance.model"}.get(key, key)]


def _differing_table(table: str, there: Any, wanted: Any) -> list[str]:
    """How a table of settings differs; another component differs in its name alone."""
    if not (isinstance(there, dict) and isinstance(wanted, dict)):
        return [table]
    keys = [key for key in there | wanted if there.get(key) != wanted.get(key)]
    keys = ["name"] if "name" in keys else keys
    return [
        f"{table}.{key} {_short(there.get(key))}, not {_short(wanted.get(key))}" for key in keys
    ]


def _short(value: Any) -> str:
    """A setting in a message; what stands for many things is not spelled out."""
    return "none" if value is None else one_line(str(value))[:40]


def replay(entry: Mapping[str, Any], target: str, kept: Kept = _all) -> list[str]:
    """The words of the command that makes a result again, with the settings it was made with.

    Same model, inputs, settings, batch, threads and device give the same bytes. kept: tells which
    words of a verb may stand there. The entry may be anybody's: it only names what is read, and
    where results go is for who types the command (`places`). target: what messages call the file.
    """
    try:
        verb, inputs = _matching(entry, "command", "[a-z]+"), _strings(entry, "inputs")
        words = [verb, *kept(verb, _strings(entry, "arguments"))]
        if verb == "sample":  # where images are given by an option
            words += [word for name in inputs for word in _option("--image", name)]
            inputs = []
        words += _option("-m", str(entry["model"]))
        if "seeds" in entry or not inputs:  # some edits draw nothing
            words += ["--seeds", _matching(entry, "seeds", "[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")]
        if entry["class"] is not None:
            words += _option("--class", str(entry["class"]))
        words += _told(entry)
        if "moments" in entry:
            words += _option("--moments", str(entry["moments"]))
        words += ["--batch", _matching(entry, "batch", "[0-9]{1,9}")]
        words += ["--dtype", _matching(entry, "dtype", "[a-z0-9]+")]
        words += ["--device", _matching(entry, "device", "[a-z]+(:[0-9]+)?")]
        words += ["--set", f"compute.threads={_matching(entry, 'threads', '[0-9]{1,9}')}"]
        # Records of before there was another one do not name what made their noise.
        made = _matching({"rng": "torch", **entry}, "rng", "[a-z]+")
        words += ["--set", f"compute.rng={made}"]
        for key, value in entry.get("compute", {}).items():
            if key not in ROUNDING or not isinstance(value, bool):
                raise TypeError(key)
            words += ["--set", f"compute.{key}={toml_value(value)}"]
        for table, value in entry["settings"].items():
            if table not in (*SAMPLING, *RESTORING):
                raise Refusal(f"{target}: its ddpm entry sets {str(table)[:40]!r}, of another use")
            words += ["--set", f"{table}={toml_value(value)}"]
    except (KeyError, TypeError, AttributeError):
        raise Refusal(f"{target}: its ddpm entry is incomplete") from None
    if sum(map(len, (*words, *inputs))) > LENGTH_LIMIT:
        raise Refusal(f"{target}: its ddpm entry is too long for a command")
    if any(name.startswith("-") and name != "-" for name in inputs):
        return ["ddpm", *words, "--", *inputs]
    return ["ddpm", words[0], *inputs, *words[1:]]


def _told(entry: Mapping[str, Any]) -> list[str]:
    """The words that tell texts and numbers again."""
    listed, values = entry.get("text"), entry.get("values") or {}
    texts = listed if isinstance(listed, list) else [] if listed is None else [listed]
    words = [word for text in texts for word in _option("--text", _text(text))]
    words += [word for value in asking.words(values) for word in _option("--value", value)]
    if entry.get("negative") is not None:
        words += _option("--negative", _text(entry["negative"]))
    return words


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def places(entry: Mapping[str, Any], target: str) -> list[str]:
    """The words that put results of `replay` where `target` is.

    They go there, to its folder, or beside it if that is a trajectory.
    """
    if "frame" in entry:  # one of several
        return _option("-o", f"{Path(target).parent}/")
    if "frames" not in entry:
        return _option("-o", target)
    drawn = target.endswith(".png") or "--labels" in entry.get("arguments", ())
    samples = "samples.png" if drawn else "samples.safetensors"
    beside = str(Path(target).with_name(f"{Path(target).stem}-{samples}"))
    try:
        frames = _matching(entry, "frames", "[0-9]{1,9}")
    except TypeError:
        raise Refusal(f"{target}: its ddpm entry is incomplete") from None
    placed = [*_option("-o", beside), *_option("--trajectory", target), "--frames", frames]
    rows = entry.get("show", ())
    if not all(isinstance(row, str) and row.isalnum() for row in rows):
        raise Refusal(f"{target}: its ddpm entry is incomplete")
    return [*placed, "--show", ",".join(rows)] if rows else placed


def typed(words: Sequence[str]) -> str:
    """Words as a shell takes them: quoted, and what a terminal cannot show in bash's $'...'."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if one_line(word) == word:
        return shlex.quote(word)
    letters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(letters)}'"


def _option(flag: str, value: str) -> list[str]:
    """An option with its value, which stays one word if it looks like an option itself."""
    long = {"-m": "--model", "-o": "--output"}.get(flag, flag)
    is_dashed = value.startswith("-") and value != "-"
    return [f"{long}={value}"] if is_dashed else [flag, value]


def _matching(entry: Mapping[str, Any], key: str, pattern: str) -> str:
    """The text of an entry that can be nothing but what its key says."""
    value = entry[key]
    if isinstance(value, bool) or not re.fullmatch(pattern, str(value), re.ASCII):
        raise TypeError(key)
    return str(value)


def _strings(entry: Mapping[str, Any], key: str) -> list[str]:
    words = entry.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise TypeError(key)
    return words
