"""Statistics of images, mu and sigma of features, for pytorch-fid, EDM's fid.py and ADM's tool."""

from pathlib import Path

from ddpm_cli.files.outputs import targets
from ddpm_cli.pipelines import eval as measuring
from ddpm_cli.pipelines import eval_words, portable
from ddpm_cli.settings import protocols
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Convert

METRICS = ("fid", "sfid")  # what their moments are for: mu and sigma, mu_s and sigma_s


def write(request: Convert) -> list[Path]:
    """Write the statistics of a side of `ddpm eval`, as its --write-stats does.

    Features are those that `ddpm eval` takes, unless `features.*` says otherwise. There is no
    card: how they came about is in the file.
    """
    path = portable.output_path(request, ".npz")
    layers, features = protocols.apart(request.layers)
    use = Use(layers=layers, dry_run=request.dry_run, force=request.force)
    asked = Eval(
        use=use, reference=request.source, features=features, metrics=METRICS, statistics=path
    )
    targets.refuse_existing(path, request.force)
    work = measuring.planned(asked, eval_words.settled(asked))
    measuring.say(work)
    if request.dry_run:
        return []
    work = measuring.hashed(work)
    seen = measuring.beside(work)
    return [] if seen is None else [measuring.written(work, seen, path)]
