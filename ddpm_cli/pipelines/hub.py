"""Models of the Hugging Face hub, as hf:owner/name[@revision][/file], for `ddpm convert` alone.

Its own package fetches, keeps and sends them: its cache, its token, HF_HUB_OFFLINE.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ddpm_cli import __version__, console
from ddpm_cli.errors import ConfigError, Refusal, importing, one_line
from ddpm_cli.files.checkpoints import pieces
from ddpm_cli.pipelines import hub_files

EXTRA = "hub"
_ADDRESS = re.compile(
    r"hf:(?://)?(?P<name>[\w.-]+/[\w.-]+)"
    r"(?:@(?P<revision>refs/[\w.-]+/[\w.-]+|[^/@\s]+))?(?:/(?P<inner>[^\s]*[^\s/]))?/?"
)
# Faults without an answer: of requests, of httpx, of Python and of the hub's own package.
_UNREACHED = {"ConnectionError", "TransportError", "Timeout", "LocalEntryNotFoundError"}
_Result = TypeVar("_Result")


class Address(NamedTuple):
    """A repository, perhaps at a revision, perhaps a file or folder in it."""

    text: str
    name: str
    revision: str | None = None
    inner: str = ""


class Fetched(NamedTuple):
    """Where what was asked for lies in the cache, and what it is, for the header."""

    path: Path
    about: dict[str, Any]


def is_address(text: str | None) -> bool:
    """Whether a word names something on the hub."""
    return text is not None and text.startswith("hf:")


def address(text: str) -> Address:
    """What a word names, which must be of the right form."""
    match = _ADDRESS.fullmatch(text)
    if match is None or ".." in text:
        raise ConfigError(f"{text}: write hf:owner/name, hf:owner/name@revision or .../FILE")
    return Address(text, match["name"], match["revision"], match["inner"] or "")


def fetched(text: str) -> Fetched:
    """Fetch what a model needs, or take it from the cache, and say which.

    Without the network, or with HF_HUB_OFFLINE, what is in the cache is used.
    """
    place = address(text)
    with importing("huggingface_hub", EXTRA):
        import huggingface_hub
        from huggingface_hub import constants
    names, commit = None, place.revision
    if not constants.HF_HUB_OFFLINE:
        try:
            info = huggingface_hub.HfApi().model_info(place.name, revision=place.revision)
            names, commit = [file.rfilename for file in info.siblings or ()], info.sha
        except Exception as error:
            if not _is_unreached(error):
                raise _refusal(place, error) from error
            console.warn(f"{text}: the hub cannot be reached; looking in the cache")
    wanted = None if names is None else hub_files.needed(names, place.inner, text)
    root = Path(_told(place, lambda: huggingface_hub.snapshot_download(
        place.name, revision=commit, allow_patterns=wanted, local_files_only=names is None,
        library_name="ddpm-cli", library_version=__version__,
    )))  # fmt: skip
    if wanted is None:
        there = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        wanted = hub_files.needed(there, place.inner, text)
    console.say(f"{text}: {', '.join(wanted)} at {root.name}")
    about = {"address": text, "repository": place.name, "commit": root.name}
    return Fetched(root / hub_files.entrance(wanted, place.inner), about)


def refuse_unready(text: str) -> None:
    """Refuse what cannot be sent to, before there is anything to send."""
    place = address(text)
    if place.inner:
        raise ConfigError(f"{text}: a model goes to a repository: hf:{place.name}")
    with importing("huggingface_hub", EXTRA):
        from huggingface_hub import HfApi
    api = HfApi()
    _told(place, api.whoami)
    if place.revision and not _told(place, lambda: api.repo_exists(place.name)):
        raise Refusal(f"{text}: no such repository, so it has no revisions", "leave it out")


def send(text: str, files: Mapping[str, Path], *, force: bool) -> str:
    """Put files into a repository in one commit; return the address that shows it.

    A repository that is not there is made, a private one. Files that are there are replaced by
    force alone, all others stay.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    place, api = address(text), HfApi(library_name="ddpm-cli", library_version=__version__)
    if not _told(place, lambda: api.repo_exists(place.name)):
        console.say(f"hf:{place.name}: a new repository, private until you change that there")
        _told(place, lambda: api.create_repo(place.name, private=True))
    elif not force:
        there = _told(place, lambda: api.list_repo_files(place.name, revision=place.revision))
        if clash := sorted(set(there) & set(files)):
            fix = "use --force to replace what has these names, or another repository"
            raise Refusal(f"{text}: {', '.join(clash)} exists already", fix)
    adds = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
    console.say(f"{text}: sending {', '.join(files)}")
    message = "Upload a model by ddpm convert"
    made = _told(
        place,
        lambda: api.create_commit(
            place.name, adds, commit_message=message, revision=place.revision
        ),
    )
    return str(made.commit_url)


def _told(place: Address, ask: Callable[[], _Result]) -> _Result:
    """What the hub answers; its faults become one line each."""
    try:
        return ask()
    except Exception as error:
        raise _refusal(place, error) from error


def _is_unreached(error: Exception) -> bool:
    """Whether there was no answer at all: no network, or no server."""
    if getattr(error, "response", None) is not None:
        return False
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # Of requests, of httpx, of Python, and the hub's own.
    return bool(
        kinds & {"ConnectionError", "TransportError", "Timeout", "LocalEntryNotFoundError"}
    )


def _refusal(place: Address, error: Exception) -> Refusal:
    """What went wrong, in a line, and what to do."""
    from huggingface_hub import constants, errors

    page, text = f"https://huggingface.co/{place.name}", place.text
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return Refusal(f"{text}: gated", f"accept its terms at {page}, then: hf auth login")
    if isinstance(error, errors.RepositoryNotFoundError):
        fix = f"check {page}; what is private needs: hf auth login"
        return Refusal(f"{text}: no such repository, or it is private", fix)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return Refusal(f"{text}: no token of yours is there", "type: hf auth login")
    if isinstance(error, errors.RevisionNotFoundError):
        return Refusal(f"{text}: no such revision", f"see {page}/commits/main")
    if isinstance(error, errors.HFValidationError):
        return Refusal(f"{text}: no name of a repository", "write hf:owner/name")
    if _is_unreached(error):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub does not answer"
        fetch = f"hf download {shlex.quote(place.name)}"
        return Refusal(f"{text}: not in the cache, and {why}", f"where there is network: {fetch}")
    if status in (401, 403):
        return Refusal(f"{text}: not allowed", "hf auth login with a token that may do that")
    why = one_line((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
    return Refusal(f"{text}: the hub refuses: {why}")


def of_folder(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names in a repository."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


def of_model(path: Path) -> dict[str, Path]:
    """The files of a model of ddpm by their names in a repository."""
    files = pieces.files(path)
    if list(files) == [path]:
        return {"model.safetensors": path}
    return {file.name: file for file in (path, *files)}
