"""The card that goes with what is exported, from the model that it is made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, parameters, shapes
from ddpm_cli.files.outputs import model_card
from ddpm_cli.pipelines import standing
from ddpm_cli.settings.toml import toml_value

NAME = "README.md"  # of the card of a folder
OWN = "MIT"  # the licence of the models that come with the package


def beside(path: Path) -> Path:
    """Where the card of a single file lies."""
    return path.with_name(f"{path.name}.md")


def of_model(
    place: Place,
    header: Header,
    how_to_use: str,
    *,
    library: str = model_card.LIBRARY,
    tags: Sequence[str] = (),
) -> str:
    """The card of a model of ddpm, with what its run says of its samples."""
    run = standing.of_run(place.path.parent, header.config)
    return model_card.card(
        header,
        _title(place),
        how_to_use,
        parameters=parameters(shapes(place.path), header.kind),
        licence=OWN if place.path.parent == find.BUNDLED else "",
        scores=run.get("best_eval") or {},
        library=library,
        tags=tags,
    )


def interface(about: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """Tables of what a file takes and gives, in Markdown, and other facts of it."""
    rows = [(key, value) for key, value in facts.items()]
    rows += [(f"input `{name}`", said) for name, said in about["inputs"].items()]
    rows += [(f"output `{name}`", said) for name, said in about["outputs"].items()]
    if names := about["classes"]:
        listed = f"`{toml_value(names)}`" if len(names) <= model_card.MANY else str(len(names))
        null = about["null_class"]
        none = "one must be given" if null is None else f"none is {null}"
        rows.append(("classes", f"{listed}, {none}"))
    lines = [f"| {key} | {value.replace('|', chr(92) + '|')} |" for key, value in rows]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _title(place: Place) -> str:
    """What the model is called: the name of its file, or of its run."""
    is_run = place.path.name.startswith("model.safetensors")
    return place.path.absolute().parent.name if is_run else place.path.name.partition(".")[0]


class Code(NamedTuple):
    """How a library calls what was exported: {x}, {t} and {more} stand for its inputs."""

    call: str
    full: str
    normal: str
    none: str
    latent: str


NUMPY = Code(
    'session.run(None, {{"x": x.astype("f4"), "{level}": numpy.full(4, {t}, "f4"){named}}})[0]',
    "numpy.full(4, {null})",
    "numpy.random.randn(4, {shape})",
    'numpy.full((4, {rows}), {fill}, "{numpy}")',
    'numpy.random.randn(4, {latents}).astype("f4")',
)
TORCH = Code(
    "program(x=x.float(), {level}=torch.full((4,), {t}){keywords})[0]",
    "torch.full((4,), {null})",
    "torch.randn(4, {shape}, dtype=torch.float64)",
    "torch.full((4, {rows}), {fill}, dtype=torch.{torch})",
    "torch.randn(4, {latents})",
)


def python(about: Mapping[str, Any], opening: Sequence[str], code: Code) -> str:
    """A block of Python that draws by DDIM with a denoiser, or that calls anything else once.

    opening: lines that load the file and read `about`, what it says of itself.
    """
    told = [name for name in ("values", "text") if name in about["inputs"]]
    more = [name for name in ("classes", "image", "latent") if name in about["inputs"]]
    more += told
    null = about["null_class"]
    fields = {
        "level": "label" if "label" in about["inputs"] else "sigma",
        "named": "".join(f', "{name}": {name}' for name in more),
        "keywords": "".join(f", {name}={name}" for name in more),
        "null": null or 0,
        "shape": ", ".join(map(str, about["shape"])),
        "latents": about["config"].get("latent", {}).get("size", 0),
    }
    full = f"classes = {code.full}  # {'numbers of classes' if null is None else 'none of them'}"
    lines = [full] if "classes" in more else []
    if "image" in more:
        lines.append("image = ...  # what the model is given beside x")
    lines += [_nothing(name, code, about["nulls"][name]) for name in told]
    drawn = [f"latent = {code.latent}"] if "latent" in more else []
    if "levels" in about and about["part"] == "denoiser":
        lines += [
            f'x = about["start"] * {code.normal}',
            'for t, s in zip(about["levels"], about["levels"][1:]):',
            *(f"    {line}" for line in drawn),
            f"    x0 = {code.call.replace('{t}', 't')}",
        ]
        if drawn:  # the posterior's step
            spread = f"s * (1 - (s / t) ** 2) ** 0.5 * {code.normal}"
            lines.append(f"    x = x0 + (s / t) ** 2 * (x - x0) + {spread}")
        else:
            lines.append("    x = x0 + s / t * (x - x0)")
    else:
        lines += drawn
        lines += [f"x = {code.normal}", f"{next(iter(about['outputs']))} = {code.call}"]
    body = [line.format(t="1.0", **fields) for line in lines]
    return "\n".join(["```python", *opening, *body, "```"])


def _nothing(kind: str, code: Code, null: Mapping[str, Any]) -> str:
    """A line that tells nothing of a kind, an array of rows of this shape."""
    is_float = null["fill"] == "nan"
    made = code.none.format(
        rows=", ".join(map(str, null["shape"])),
        fill='float("nan")' if is_float else null["fill"],
        numpy="f4" if is_float else "i2",
        torch="float32" if is_float else "int16",
    )
    return f"{kind} = {made}  # nothing is told"
