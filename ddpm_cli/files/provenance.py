"""What a result says of its own making, and the command that makes it again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_cli import __version__
from ddpm_cli.errors import Refusal
from ddpm_cli.settings.config import SAMPLING, Config
from ddpm_cli.settings.toml import toml_value

if TYPE_CHECKING:
    from ddpm_cli.files.checkpoints.header import Header
    from ddpm_cli.hardware import Compute


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
    }
    return entry | {"arguments": list(arguments)} if arguments else entry


def replay(entry: Mapping[str, Any], target: str) -> list[str]:
    """The words of the command that makes a result again, with the settings it was made with.

    Same model, inputs, settings, batch, threads and device give the same bytes.
    """
    try:
        words = [str(entry["command"]), *_strings(entry, "arguments"), "-m", str(entry["model"])]
        inputs = _strings(entry, "inputs")
        if "seeds" in entry or not inputs:  # some edits draw nothing
            words += ["--seeds", str(entry["seeds"])]
        if entry["class"] is not None:
            words += ["--class", str(entry["class"])]
        if "moments" in entry:
            words += ["--moments", str(entry["moments"])]
        words += ["--batch", str(entry["batch"]), "--dtype", str(entry["dtype"])]
        words += ["--device", str(entry["device"])]
        words += ["--set", f"compute.threads={entry['threads']}"]
        for table, value in entry["settings"].items():
            words += ["--set", f"{table}={toml_value(value)}"]
        words += _places(entry, target)
    except (KeyError, TypeError, AttributeError):
        raise Refusal(f"{target}: its ddpm entry is incomplete") from None
    if any(name.startswith("-") and name != "-" for name in inputs):
        return ["ddpm", *words, "--", *inputs]
    return ["ddpm", words[0], *inputs, *words[1:]]


def _strings(entry: Mapping[str, Any], key: str) -> list[str]:
    words = entry.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise TypeError(key)
    return words


def _places(entry: Mapping[str, Any], target: str) -> list[str]:
    """Where results go: to `target`, its folder, or beside it if that is a trajectory."""
    if "frame" in entry:  # one of several
        return ["-o", f"{Path(target).parent}/"]
    if "frames" not in entry:
        return ["-o", target]
    samples = "samples.png" if target.endswith(".png") else "samples.safetensors"
    beside = str(Path(target).with_name(f"{Path(target).stem}-{samples}"))
    return ["-o", beside, "--trajectory", target, "--frames", str(entry["frames"])]
