"""Models that go to the Hugging Face hub, for `ddpm convert MODEL hf:owner/name`."""

import tempfile
from dataclasses import replace
from pathlib import Path

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.pipelines import cards, exports, hub
from ddpm_cli.settings.requests import Convert


def publish(request: Convert, text: str) -> str:
    """Send a model with its card, as it is or as a target writes it; return where it is seen."""
    if request.target == "npz":
        raise ConfigError(f"{text}: statistics are no model; give a file, stats.npz")
    asked = [layer.source for layer in request.layers if layer.source != "the environment"]
    if request.target is None and asked:
        raise ConfigError(f"{asked[0]}: the model goes to {text} as it is; leave settings out")
    name = hub.address(text).name
    if not request.dry_run:
        hub.refuse_unready(text)
    with tempfile.TemporaryDirectory() as folder:
        files = _files(request, name, Path(folder))
        if request.dry_run:
            what = ", ".join(files) or f"what --to {request.target} writes, and its card"
            console.say(f"{text}: would be sent {what}")
            return ""
        return hub.send(text, files, force=request.force)


def _files(request: Convert, name: str, folder: Path) -> dict[str, Path]:
    """What is sent, by its names there; what must be made first is made in a folder."""
    if request.target is None:
        card = folder / cards.NAME
        model = find.find(request.source)
        header, _ = checkpoint.load(model.path)
        if header.kind != "model":
            raise Refusal(f"{model.path}: {header.kind}, no model", "give a model.safetensors")
        card.write_text(cards.of_model(model, header, _how(name)), encoding="utf-8")
        return {cards.NAME: card, **hub.of_model(model.path)}
    target = exports.find(request.target)
    suffix = getattr(target, "SUFFIX", "")
    place = folder / (f"model{suffix}" if suffix else name.rpartition("/")[2])
    target.write(replace(request, output=str(place), force=False))
    if place.is_dir():
        return hub.of_folder(place)
    own = cards.beside(place).name
    found = sorted(folder.iterdir())
    return {cards.NAME if file.name == own else file.name: file for file in found}


def _how(name: str) -> str:
    """How a model of ddpm is used that lies on the hub."""
    return "\n".join(
        [
            "```sh",
            "pip install 'ddpm-cli[hub]'",
            f"ddpm convert hf:{name} -o model.safetensors",
            "ddpm sample -m model.safetensors -n 4 -o samples.png",
            "```",
            "",
            "```python",
            "import ddpm_cli",
            'model = ddpm_cli.load("model.safetensors")',
            "images = model.sample(seeds=[0, 1, 2, 3])  # float32, images in [-1, 1]",
            "```",
        ]
    )
