"""Model cards: the README.md of a model, with the front matter that the Hugging Face hub reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm_cli import __version__
from ddpm_cli.errors import one_line, spelled
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.settings.checks import CLASSIFIER, CLIP, JUDGES
from ddpm_cli.settings.toml import toml_value

LIBRARY = "ddpm-cli"
# What the hub calls the task of a model, by what ours is made for.
_PIPELINES = {
    "": "unconditional-image-generation",
    CLASSIFIER: "image-classification",
    CLIP: "zero-shot-image-classification",
    "inpaint": "image-to-image",
    "upscale": "image-to-image",
    "pairs": "image-to-image",
}
# The hub's names of sets that are known by ours.
_DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}
# The hub's names of licences, by how projects write theirs, in small letters.
_LICENCES = {
    "mit": "mit",
    "apache-2.0": "apache-2.0",
    "bsd-3-clause": "bsd-3-clause",
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-nc-sa-4.0": "cc-by-nc-sa-4.0",
    "openrail": "openrail",
}
_TABLES = ("task", "schedule", "parameterization", "network", "loss", "sampler", "levels")

MANY = 16  # entries of a list that are written out

Rows = Sequence[tuple[str, str]]


def card(
    header: Header,
    title: str,
    how_to_use: str,
    *,
    parameters: int | None = None,
    licence: str = "",
    scores: Mapping[str, Mapping[str, Any]] | None = None,
    library: str = LIBRARY,
    tags: Sequence[str] = (),
) -> str:
    """The card of a model in Markdown, from what its header says.

    how_to_use: a section's text. parameters: how many numbers of the network were trained.
    licence: of weights whose header names none; scores: of the run, a value and a step by name.
    library: who loads the files; tags: more words to find the model by.
    """
    source = dict(header.source or {})
    stated = str(source.get("licence") or licence)
    sections = [
        _front(header, stated, library, tags),
        f"# {title}\n",
        _summary(header),
        f"## How to use it\n\n{how_to_use.strip()}\n",
        f"## {'Origin' if source else 'Training'}\n\n{_table(_origin(header, parameters))}",
        f"## Settings\n\n{_settings(header)}",
        _evaluation(header, scores or {}),
        f"## Licence\n\n{_licence(stated, bool(source))}\n",
    ]
    return "\n".join(section for section in sections if section)


def _front(header: Header, licence: str, library: str, tags: Sequence[str]) -> str:
    """The YAML that the hub reads; what is not known is left out."""
    source = dict(header.source or {})
    fields: dict[str, str | list[str]] = {}
    if licence:
        known = _LICENCES.get(licence.lower())
        fields["license"] = known or "other"
        fields |= {} if known else {"license_name": licence}
    fields["library_name"] = library
    if header.data.is_image:
        is_text = "text" in header.config and not header.task
        fields["pipeline_tag"] = "text-to-image" if is_text else _PIPELINES[header.task]
    words = ["ddpm", "diffusion", str(header.config["network"]["name"]), *tags]
    fields["tags"] = list(dict.fromkeys(words))
    if not source and (known := _DATASETS.get(str(header.config["data"]["name"]))):
        fields["datasets"] = [known]
    if hub := source.get("hub"):
        fields["base_model"] = str(hub["repository"])
    lines = [f"{key}: {_yaml(value)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---", ""])


def _yaml(value: str | list[str]) -> str:
    """A text or a list of texts: what JSON quotes is YAML, too."""
    return json.dumps(value, ensure_ascii=False)


def _summary(header: Header) -> str:
    """What the model is, in a sentence or two."""
    shape = "x".join(map(str, header.data.shape))
    noun = header.data.noun
    does = {
        "": f"A diffusion model that draws {noun} of shape {shape}",
        CLASSIFIER: f"A classifier of noisy {noun} of shape {shape}, which guides other models",
        CLIP: f"A CLIP of {noun} of shape {shape} and texts, which guides other models",
        "inpaint": f"A diffusion model that fills holes in {noun} of shape {shape}",
        "upscale": f"A diffusion model that enlarges {noun} to shape {shape}",
        "pairs": f"A diffusion model that makes {noun} of shape {shape} of others given to it",
    }[header.task]
    classes = int(header.config["network"].get("classes", 0))
    names = one_line(", ".join(map(spelled, header.data.classes or ())))
    of = f", of {classes} classes" if classes else ""
    told = f": {names}" if classes and names and len(names) <= 200 else ""
    said = header.config.get("summary")
    about = f" It was made with the settings \u201c{said}\u201d." if said else ""
    return f"{does}{of}{told}{_told(header)}.{about}\n"


def _told(header: Header) -> str:
    """What it is told beside classes, in words."""
    numbers = header.data.values.names if header.data.values else ()
    kinds = [one_line(", ".join(numbers))] * ("values" in header.config and bool(numbers))
    kinds += ["a text"] * ("text" in header.config)
    return f", told {' and '.join(kinds)}" if kinds else ""


def _origin(header: Header, parameters: int | None) -> Rows:
    """Where the weights come from: a training of ours, or a file of another program."""
    source = dict(header.source or {})
    rows: list[tuple[str, object]] = []
    if source:
        hub = source.get("hub") or {}
        rows += [
            ("converted from", f"`{hub.get('address') or source.get('file')}`"),
            ("format", source.get("format")),
            ("release", source.get("release")),
            ("weights", source.get("weights")),
            ("SHA-256 of the source", f"`{source.get('sha256')}`"),
            ("told", _inline(source.get("told"))),
            ("assumed", _assumed(source.get("assumed") or {})),
            ("notes", " ".join(source.get("notes") or ())),
            ("steps", header.step or None),
        ]
    else:
        train = header.config["train"]
        rows += [
            ("data", _inline(_data(header.config["data"]))),
            ("steps", f"{header.step:,}"),
            ("batch", train["batch"]),
            ("images seen", f"{header.step * train['batch']:,}"),
            ("average", _average(dict(header.averages or {}))),
        ]
    rows += [
        ("parameters", f"{parameters:,}" if parameters else None),
        ("checkpoint", f"`{header.hash}`" if header.hash else None),
        ("written by", f"ddpm {__version__}"),
    ]
    return [(key, str(value)) for key, value in rows if value]


def _average(about: Mapping[str, Any]) -> str:
    """Of which length the average is that was made afterwards, if it was."""
    if "length" not in about:
        return ""
    of = f"{about.get('snapshots')} snapshots of `{one_line(str(about.get('run')))}`"
    return f"of length {about['length']:g}, made of {of}"


def _data(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where the data came from, without the folders that led there: a card is for others."""
    kept = {key: value for key, value in settings.items() if value not in ("", [], None, False)}
    return {k: Path(v).name if isinstance(v, str) and k != "name" else v for k, v in kept.items()}


def _assumed(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """What no file said and nobody told."""
    told = [f"`{k} = {toml_value(e['value'])}` ({e['why']})" for k, e in entries.items()]
    return ", ".join(told)


def _settings(header: Header) -> str:
    """The tables of the configuration that say what the model is."""
    draws = header.task not in JUDGES
    tables = [name for name in _TABLES if draws or name not in ("loss", "sampler", "levels")]
    rows = [(name, _inline(header.config[name])) for name in tables if name in header.config]
    return _table(rows)


def _evaluation(header: Header, scores: Mapping[str, Mapping[str, Any]]) -> str:
    """What the samples of the run were measured to be, if they were."""
    rows = [
        (name, f"{entry['value']:g} at step {int(entry['step']):,}")
        for name, entry in scores.items()
    ]
    if header.score is not None:
        score = dict(header.score)
        how = ", ".join(f"{key} {score[key]}" for key in ("protocol", "n") if score.get(key))
        value = f"{score['value']:g} of these weights"
        rows.insert(0, (str(score["metric"]), value + (f" ({how})" if how else "")))
    return f"## Evaluation\n\n{_table(rows)}" if rows else ""


def _licence(stated: str, is_foreign: bool) -> str:
    """What is known of the licence, in a sentence."""
    if stated:
        return f"The weights are under {stated}{', as the source says' if is_foreign else ''}."
    if is_foreign:
        return "The source states none: look there before you pass the weights on."
    return "None is stated yet: state one before you pass the weights on."


def _inline(value: Any) -> str:
    """A table of a configuration as code in one line; nothing of nothing."""
    return f"`{toml_value(_short(value))}`" if value else ""


def _short(value: Any) -> Any:
    """The same without long lists, which a table of noise levels is: their ends and length."""
    if isinstance(value, Mapping):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list) and len(value) > MANY:
        return f"{len(value)} entries from {value[0]} to {value[-1]}"
    return value


def _table(rows: Rows) -> str:
    """Rows of two columns."""
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [f"| {key} | {value} |" for key, value in cells]
    return "\n".join(["| | |", "| --- | --- |", *lines, ""])
