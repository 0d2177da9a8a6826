"""`ddpm convert RUN --ema`: an average of any length, made of the snapshots that a run kept."""

from pathlib import Path

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.outputs import targets
from ddpm_cli.pipelines import ema_best, kept_averages, opening
from ddpm_cli.pipelines.kept_averages import OFF, Snapshots
from ddpm_cli.settings.requests import Convert


def convert(request: Convert) -> None:
    """Write the average that is asked for, or the best one."""
    output, length = Path(request.output or ""), request.ema
    if not request.dry_run:
        targets.refuse_existing(output, request.force)
    kept = kept_averages.opened(request.source)
    many = f"{len(kept.files)} snapshots up to step {kept.newest.step}"
    of = ", ".join(f"{each:g}" for each in kept.lengths)
    console.say(f"{kept.folder}: {many}, of lengths {of}")
    found = None
    if length is None or length == "best":
        found = ema_best.chosen(kept, request)
        if found is None:
            return
        length = found.length
    else:
        _refuse_settings(request)
    _warn(kept, length)
    if request.dry_run:
        opening.shown(kept.newest.config)
        return
    header, tensors = kept.model(length)
    about = dict(header.averages or {}) | ({"by": found.by} if found else {})
    header = checkpoint.save(output, tensors, header._replace(averages=about))
    if request.as_json:
        table = {"lengths": found.table} if found else {}
        console.json_line({"path": str(output), "hash": header.hash, "ema": about, **table})
    else:
        console.line(str(output))


def _warn(kept: Snapshots, length: float) -> None:
    """Warn of an average that the snapshots do not give."""
    error = kept.solved(length).error
    if error > OFF:
        low, high = kept.reach
        what = f"--ema {length:g}: the snapshots give that average but for {error:.0%} of it"
        more = "train.averages with a length near it, or more train.snapshots, would"
        console.warn(f"{what}; they give {low:g} to {high:g} well, and {more}")


def _refuse_settings(request: Convert) -> None:
    """Refuse settings, which change nothing of an average of a length."""
    if asked := [layer.source for layer in request.layers if layer.source != "the environment"]:
        raise ConfigError(f"{asked[0]}: --ema best alone takes settings; leave them out")
