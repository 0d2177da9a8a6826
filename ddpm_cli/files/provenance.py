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

    found: dict[str, Any] = {
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
    return found | {"arguments": list(arguments)} if arguments else found


def replay(made: Mapping[str, Any], target: str) -> list[str]:
    """The words of the command that makes a result again, with the settings it was made with.

    Same model, inputs, settings, batch, threads and device give the same bytes.
    """
    try:
        words = [str(made["command"]), *_strings(made, "arguments"), "-m", str(made["model"])]
        inputs = _strings(made, "inputs")
        if "seeds" in made or not inputs:  # some edits draw nothing
            words += ["--seeds", str(made["seeds"])]
        if made["class"] is not None:
            words += ["--class", str(made["class"])]
        if "moments" in made:
            words += ["--moments", str(made["moments"])]
        words += ["--batch", str(made["batch"]), "--dtype", str(made["dtype"])]
        words += ["--device", str(made["device"])]
        words += ["--set", f"compute.threads={made['threads']}"]
        for table, value in made["settings"].items():
            words += ["--set", f"{table}={toml_value(value)}"]
        words += _places(made, target)
    except (KeyError, TypeError, AttributeError):
        raise Refusal(f"{target}: its ddpm entry is incomplete") from None
    if any(name.startswith("-") and name != "-" for name in inputs):
        return ["ddpm", *words, "--", *inputs]
    return ["ddpm", words[0], *inputs, *words[1:]]


def _strings(made: Mapping[str, Any], key: str) -> list[str]:
    found = made.get(key, [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise TypeError(key)
    return found


def _places(made: Mapping[str, Any], target: str) -> list[str]:
    """Where results go: to `target`, its folder, or beside it if that is a trajectory."""
    if "frame" in made:  # one of several
        return ["-o", f"{Path(target).parent}/"]
    if "frames" not in made:
        return ["-o", target]
    samples = "samples.png" if target.endswith(".png") else "samples.safetensors"
    beside = str(Path(target).with_name(f"{Path(target).stem}-{samples}"))
    return ["-o", beside, "--trajectory", target, "--frames", str(made["frames"])]
