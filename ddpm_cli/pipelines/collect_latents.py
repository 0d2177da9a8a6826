"""Latents that several tasks encoded put into one file, for `ddpm collect`."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal, many
from ddpm_cli.files.checkpoints import latents
from ddpm_cli.files.checkpoints.latents import Latents
from ddpm_cli.pipelines import gathering
from ddpm_cli.settings.collecting import Collect


def are_all(paths: Sequence[Path]) -> bool:
    """Whether these are files of latents; some among others are refused."""
    found = [
        path
        for path in paths
        if path.suffix == ".safetensors" and latents.record(path) is not None
    ]
    if found and len(found) < len(paths):
        other = next(path for path in paths if path not in found)
        raise Refusal(f"{found[0]} holds latents, {other} does not", "collect them apart")
    return bool(found)


def run(request: Collect, paths: Sequence[Path]) -> None:
    """Write the latents of all files in the order given, each image once."""
    if Path(request.output).suffix != ".safetensors":
        fix = "ddpm sample --from FILE makes images of them"
        raise ConfigError(f"-o {request.output}: latents go to a .safetensors file; {fix}")
    if request.seeds is not None:
        raise ConfigError("--seeds: latents have names, no seeds; leave it out")
    files = [latents.load(path) for path in paths]
    for each in files[1:]:
        _refuse_other(files[0], each)
    rows, doubled = _rows(files, request.force)
    console.say(f"{many(len(rows), 'latents')} from {many(len(paths), 'files')}")
    if not request.dry_run:
        whole = files[0]._replace(
            path=Path(request.output), z=torch.stack([*rows.values()]), names=[*rows]
        )
        latents.save(whole)
    gathering.report(
        request,
        images=len(rows),
        files=len(paths),
        seeds=None,
        missing=None,
        doubled=",".join(doubled) or None,
        model_hash=str(files[0].record["hash"]),
    )


def _rows(files: Sequence[Latents], force: bool) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The latent of each image by its name, and the names that were there twice."""
    rows: dict[str, torch.Tensor] = {}
    places: dict[str, Path] = {}
    doubled = list[str]()
    for file in files:
        for name, z in zip(file.names, file.z, strict=True):
            if name in rows:
                doubled.append(name)
                if not rows[name].equal(z) and not force:
                    what = f"{name}: {places[name]} and {file.path} differ"
                    raise Refusal(what, "leave one out, or use --force to take the last")
                console.say(f"{name}: is in {places[name]} and in {file.path}, and taken once")
            rows[name], places[name] = z, file.path
    return rows, doubled


def _refuse_other(first: Latents, other: Latents) -> None:
    """Refuse latents of another model, or from another way."""
    for key in ("model", "hash", "class", "method"):
        if first.record.get(key) != other.record.get(key):
            what = f"{first.path} and {other.path} were made differently: {key}"
            raise Refusal(what, "collect them apart")
    if float(first.sigma) != float(other.sigma) or first.header.config != other.header.config:
        what = f"{first.path} and {other.path} were made differently: levels or settings"
        raise Refusal(what, "collect them apart")
