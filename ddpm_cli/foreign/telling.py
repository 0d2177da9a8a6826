"""Say what a file, folder or address is that cannot be used as it was given, and the way out."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from ddpm_cli.errors import Refusal
from ddpm_cli.foreign.kinds import FAMILIES, KINDS, NO_WEIGHTS, TEXTS, USUAL, WEIGHTS, Kind
from ddpm_cli.foreign.signs import HEAD, INDEX, PIECE

Role = Literal["model", "data", "image", "settings"]  # what a file was given as
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|hf|file):(/+|(?<=hf:))(.*)", re.IGNORECASE)
_PLAIN = re.compile(r"[\w./ +@,:-]+")  # nothing of it means anything to a shell within quotes
_REPOSITORY = re.compile(r"(?:datasets/)?([A-Za-z0-9][\w.-]*/[\w.-]+)")


class Told(NamedTuple):
    """What something is, and what to do next."""

    what: str
    way: str

    def refusal(self, place: object, wanted: str = "") -> Refusal:
        """The refusal of what stands at a place; wanted: what it is not ("no zip file")."""
        match = _ADDRESS.match(str(place))
        slashes = "//" if match and match[2] else ""
        shown = f"{match[1]}:{slashes}{match[3]}" if match else str(place)
        return Refusal(f"{shown}: {self.what}{wanted and ', '}{wanted}", self.way)


def kind(path: Path, *, texts: bool = False) -> Kind | None:
    """What a file is by its first bytes; None if it is of no kind that is known."""
    try:
        if not path.is_file():  # opening a pipe could block for ever
            return None
        with path.open("rb") as file:
            return kind_of(file.read(HEAD), texts=texts)
    except OSError:
        return None


def kind_of(head: bytes, *, texts: bool = False) -> Kind | None:
    """The kind of a file that begins so; texts: also those that are no more than texts."""
    table = (*KINDS, *TEXTS) if texts else KINDS
    return next((kind for tell, kind in table if tell(head)), None)


def told(path: Path, role: Role, *, texts: bool = True) -> Told | None:
    """What a file is and the way out, where it was given in a role that it does not fill."""
    found = kind(path, texts=texts)
    return None if found is None else _told(found, role, path)


def told_of(head: bytes, role: Role, name: str, *, texts: bool = True) -> Told | None:
    """The same of a file that begins so and is called `name` in messages."""
    found = kind_of(head, texts=texts)
    return None if found is None else _told(found, role, Path(name))


def _told(found: Kind, role: Role, path: Path) -> Told:
    return Told(found.name, filled(getattr(found, role) or USUAL[role], path))


def filled(way: str, path: Path) -> str:
    """A way out with the names of a path in it."""
    stem = re.sub(r"[^\w.-]", "_", path.name).partition(".")[0] or "unpacked"
    parts = {
        "{file}": shlex.quote(str(path)),
        "{path}": str(path) if _PLAIN.fullmatch(str(path)) else "FILE",
        "{stem}": stem,
        "{folder}": shlex.quote(str(path.parent)),
        "{ending}": path.suffix if _PLAIN.fullmatch(path.suffix) else "",
    }
    return re.sub(r"\{[a-z]+\}", lambda part: parts.get(part[0], part[0]), way)


def address(text: object, role: Role) -> Told | None:
    """What a web address is, which nothing here fetches; None of a path.

    A path made of one has lost a slash.
    """
    match = _ADDRESS.match(str(text))
    if match is None:
        return None
    scheme, rest = match[1].lower(), match[3]
    if scheme == "file":
        return Told("an address", f"give the path: /{rest}")
    is_hub = scheme == "hf" or rest.startswith("huggingface.co/")
    if is_hub and (scheme == "hf" or role in ("model", "data")):
        return _on_hub(rest.removeprefix("huggingface.co/"), role)
    fetch = f"curl -LO {shlex.quote(f'{match[1]}://{rest}')}, then give the file"
    if scheme in ("s3", "gs"):
        fetch = "copy it here with its own tool, then give the file"
    return Told("an address; ddpm fetches nothing from the network", fetch)


def repository(text: object, role: Role) -> str:
    """What to do if a name like google/ddpm-cat-256 was meant; empty of anything else."""
    match = _REPOSITORY.fullmatch(str(text))
    if role not in ("model", "data") or match is None or match[1].startswith("runs/"):
        return ""
    if "." in match[1][-5:-1]:
        return ""
    told = _on_hub(match[1], role)
    return f"if you mean {match[1]} on the Hugging Face Hub: {told.way}"


def _on_hub(name: str, role: Role) -> Told:
    """Models and data sets of the Hugging Face Hub."""
    name = "/".join(name.removeprefix("datasets/").split("/")[:2])
    folder = name.rpartition("/")[2]
    if role != "data":
        file = f"{folder.partition('@')[0]}.safetensors"
        way = f"ddpm convert {shlex.quote(f'hf:{name}')} -o {file}, then -m {file}"
        return Told("a model on the Hugging Face Hub", way)
    fetch = f"hf download {shlex.quote(name)} --repo-type dataset --local-dir {folder}"
    return Told("a data set on the Hugging Face Hub", f"{fetch}, then give what it holds")


def family(names: Iterable[str]) -> str:
    """Whose weights tensors of these names are; empty if nobody's that is known."""
    dotted = "\n".join(f".{name}" for name in names)
    return next((who for parts, who in FAMILIES if any(map(dotted.__contains__, parts))), "")


def folder(path: Path) -> Told | None:
    """What a folder is that was given as a model; None if it looks like no model."""
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    shown = shlex.quote(str(path))
    if "model_index.json" in names:
        return Told("a pipeline of diffusers", filled(WEIGHTS, path))
    if "config.json" in names:
        return Told("a model of diffusers or transformers", filled(WEIGHTS, path))
    if "saved_model.pb" in names:
        return Told("a TensorFlow model", NO_WEIGHTS)
    if "config.toml" in names:
        go_on = f"ddpm train --config {shown}/config.toml -o {shown} goes on with it"
        return Told("a run that has saved no model yet", go_on)
    runs = sorted({place.parent.name for place in path.glob("*/model.safetensors*")})
    if runs:
        listed = ", ".join(runs[:5])
        return Told(f"a folder of runs ({listed})", f"choose one: -m {shown}/{runs[-1]}")
    whole = (".safetensors", f".safetensors{INDEX}")
    pieces = {name for name in names if PIECE.fullmatch(name)}
    files = sorted(name for name in names - pieces if name.endswith(whole))
    if files:
        listed = ", ".join(files[:5])
        return Told(f"a folder of models ({listed})", f"choose one: -m {shown}/{files[-1]}")
    if pieces:
        way = f"copy the file that lists them, *{whole[1]}, there, too"
        return Told("pieces of a model without their index", way)
    others = sorted(name for name in names if name.endswith((".pt", ".pth", ".ckpt", ".bin")))
    if not others:
        return None
    return Told(f"a folder of PyTorch files ({others[0]})", filled(WEIGHTS, path / others[0]))
