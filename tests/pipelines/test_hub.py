"""The hub: what is fetched and sent, in which words it fails, and never without being asked.

The hub's own package is used, its functions that ask a server replaced, its cache laid by hand.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import foreign_checkpoints
import pytest
import random_models
from runs import ddpm

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.pipelines import cards, exports, hub
from ddpm_cli.settings.requests import Convert

huggingface_hub = pytest.importorskip("huggingface_hub")
from huggingface_hub import constants, errors  # noqa: E402  (it may be missing)

NAME, COMMIT = "owner/name", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    place = tmp_path / "cache"
    place.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    return place


def lay(cache: Path, files: dict[str, bytes]) -> Path:
    """Put files into the cache as the hub's package keeps them; return their folder."""
    home = cache / f"models--{NAME.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    for name, content in files.items():
        path = home / "snapshots" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return home / "snapshots" / COMMIT


def answering(monkeypatch: pytest.MonkeyPatch, **answers: Callable[..., Any]) -> None:
    """Let functions of the hub's client answer so, and no others."""
    for name, answer in answers.items():
        monkeypatch.setattr(huggingface_hub.HfApi, name, answer)


def failing(error: Exception) -> Callable[..., Any]:
    def ask(*_: object, **__: object) -> None:
        raise error

    return ask


def response(status: int) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={}, request=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b", ("a/b", None, "")),
        ("hf://a/b", ("a/b", None, "")),
        ("hf:a/b@v1.0", ("a/b", "v1.0", "")),
        ("hf:a/b@refs/pr/3", ("a/b", "refs/pr/3", "")),
        ("hf:a/b/unet", ("a/b", None, "unet")),
        ("hf:a/b@main/x/y.pt", ("a/b", "main", "x/y.pt")),
    ],
)
def test_addresses(text: str, expected: tuple[str, str | None, str]) -> None:
    assert hub.address(text)[1:] == expected


@pytest.mark.parametrize("text", ["hf:", "hf:a", "hf:a/b@", "hf:a/../b", "hf:a b/c", "hf:/a/b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="hf:owner/name"):
        hub.address(text)
    assert ddpm("convert", text, "-o", "x.safetensors").code == 2


def test_from_the_cache_without_network(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of ddpm comes out as it went in, hash and all; only the cache is asked."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    answering(monkeypatch, model_info=failing(AssertionError("asked a server")))
    ours = (find.BUNDLED / "mnist-classifier.safetensors").read_bytes()
    lay(cache, {"model.safetensors": ours, "README.md": b"# it"})
    output = tmp_path / "x.safetensors"
    outcome = ddpm("convert", f"hf:{NAME}", "-o", output)
    assert (outcome.code, outcome.out) == (0, f"{output}\n"), outcome.err
    assert f"hf:{NAME}: model.safetensors at {COMMIT}" in outcome.err
    assert output.read_bytes() == ours
    outcome = ddpm("convert", f"hf:{NAME}", "--set", "schedule.name=vp", "-o", output, "--force")
    assert outcome.code == 2
    assert "leave settings out" in outcome.err


def test_only_what_is_needed_is_fetched(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    names = ["README.md", "model.safetensors", "optimizer.pt", "samples/0.png"]
    asked: dict[str, Any] = {}

    def info(self: object, name: str, revision: str | None = None) -> SimpleNamespace:
        asked["info"] = (name, revision)
        siblings = [SimpleNamespace(rfilename=name) for name in names]
        return SimpleNamespace(siblings=siblings, sha=COMMIT)

    def snapshot(name: str, **options: Any) -> str:
        asked.update(options)
        ours = (find.BUNDLED / "mnist-classifier.safetensors").read_bytes()
        return str(lay(cache, {"model.safetensors": ours}))

    answering(monkeypatch, model_info=info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    output = tmp_path / "x.safetensors"
    assert ddpm("convert", f"hf:{NAME}@v2", "-o", output).code == 0
    assert asked["info"] == (NAME, "v2")
    assert asked["allow_patterns"] == ["model.safetensors"]
    assert (asked["revision"], asked["local_files_only"]) == (COMMIT, False)


def test_no_network_falls_back_on_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    answering(monkeypatch, model_info=failing(ConnectionError("no route")))
    outcome = ddpm("convert", f"hf:{NAME}", "-o", tmp_path / "x.safetensors")
    assert outcome.code == 1
    assert "not in the cache, and the hub does not answer" in outcome.err
    lay(cache, {"model.safetensors": (find.BUNDLED / "mnist.safetensors").read_bytes()})
    outcome = ddpm("convert", f"hf:{NAME}", "-o", tmp_path / "x.safetensors")
    assert outcome.code == 0
    assert "Warning" in outcome.err
    assert "the hub cannot be reached" in outcome.err


@pytest.mark.parametrize(
    ("error", "said", "fix"),
    [
        (errors.RepositoryNotFoundError, "no such repository, or it is private", "hf auth login"),
        (errors.GatedRepoError, "gated", f"accept its terms at https://huggingface.co/{NAME}"),
        (errors.RevisionNotFoundError, "no such revision", "commits/main"),
        (errors.HfHubHTTPError, "the hub refuses: it broke", ""),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: Callable[..., Exception],
    said: str,
    fix: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    answering(monkeypatch, model_info=failing(error("it broke", response=response(404))))
    outcome = ddpm("convert", f"hf:{NAME}@v9", "-o", tmp_path / "x.safetensors")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"Error: hf:{NAME}@v9: {said}"), outcome.err
    assert fix in outcome.err
    assert len(outcome.err.splitlines()) <= 3


def test_offline_and_not_in_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    outcome = ddpm("convert", f"hf:{NAME}", "-o", tmp_path / "x.safetensors")
    assert outcome.code == 1
    assert "not in the cache, and HF_HUB_OFFLINE is set" in outcome.err


def test_pickles_in_a_repository_are_read_by_the_safe_reader(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    file = Path(__file__).parents[1] / "golden" / "formats" / "malicious" / "zip_state_dict.pt"
    lay(cache, {"weights.pt": file.read_bytes()})
    outcome = ddpm("convert", f"hf:{NAME}", "-o", tmp_path / "x.safetensors")
    assert outcome.code == 1
    assert "__builtin__.exec" in outcome.err


def test_a_foreign_model_keeps_its_address(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the header, in what `ddpm info` says, and in the card of what is made of it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    file = foreign_checkpoints.unpacked("edm_adm_heads", tmp_path)
    lay(cache, {file.name: file.read_bytes(), "README.md": b""})
    output = tmp_path / "x.safetensors"
    outcome = ddpm("convert", f"hf:{NAME}@main", "-o", output)
    assert outcome.code == 0, outcome.err
    about = {"address": f"hf:{NAME}@main", "repository": NAME, "commit": COMMIT}
    source = read_header(output).source or {}
    assert (source["hub"], source["file"]) == (about, file.name)
    told = json.loads(ddpm("info", output, "--json").out)
    assert told["source"]["hub"] == about
    server = Server(monkeypatch, [])
    assert ddpm("convert", output, "hf:me/mine").code == 0
    card = server.sent["README.md"].decode()
    for said in (f'base_model: "{NAME}"', f"`hf:{NAME}@main`", str(source["sha256"])):
        assert said in card, said


def test_no_other_verb_fetches() -> None:
    outcome = ddpm("sample", "-m", f"hf:{NAME}")
    assert outcome.code == 1
    assert f"ddpm convert hf:{NAME} -o name.safetensors, then -m name.safetensors" in outcome.err


class Server:
    """What a repository was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, files: list[str] | None = None) -> None:
        self.files, self.sent, self.made = files, dict[str, bytes](), dict[str, Any]()
        answering(
            monkeypatch,
            whoami=lambda api: {"name": "owner"},
            repo_exists=lambda api, name: self.files is not None,
            list_repo_files=lambda api, name, revision=None: list(self.files or ()),
            create_repo=lambda api, name, **options: self.made.update(name=name, **options),
            create_commit=lambda api, name, operations, **options: self.take(operations, options),
        )

    def take(self, operations: list[Any], options: dict[str, Any]) -> SimpleNamespace:
        self.sent = {o.path_in_repo: Path(o.path_or_fileobj).read_bytes() for o in operations}
        self.made |= {"revision": options["revision"]}
        return SimpleNamespace(commit_url=f"https://huggingface.co/{NAME}/commit/1")


def test_a_model_goes_to_a_new_private_repository_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch)
    outcome = ddpm("convert", "mnist", f"hf:{NAME}")
    assert (outcome.code, outcome.out) == (0, f"https://huggingface.co/{NAME}/commit/1\n")
    assert f"hf:{NAME}: a new repository, private" in outcome.err
    assert server.made == {"name": NAME, "private": True, "revision": None}
    assert sorted(server.sent) == ["README.md", "model.safetensors"]
    assert server.sent["model.safetensors"] == (find.BUNDLED / "mnist.safetensors").read_bytes()
    card = server.sent["README.md"].decode()
    for said in ('license: "mit"', f"ddpm convert hf:{NAME} -o", 'ddpm_cli.load("model.safe'):
        assert said in card, said


def test_the_card_of_a_run_has_its_name_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch)
    folder = tmp_path / "digits"
    random_models.saved(folder / "model.safetensors", random_models.MLP)
    rows = [{"step": step, "loss": 1.0, "eval.fid": fid} for step, fid in ((3, 9.5), (7, 4.25))]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert ddpm("convert", folder, f"hf:{NAME}").code == 0
    card = server.sent["README.md"].decode()
    assert "\n# digits\n" in card
    assert "| fid | 4.25 at step 7 |" in card


def test_what_is_there_is_replaced_by_force_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, ["README.md", ".gitattributes"])
    outcome = ddpm("convert", "mnist", f"hf:{NAME}@dev")
    assert outcome.code == 1
    assert f"hf:{NAME}@dev: README.md exists already" in outcome.err
    assert not server.sent
    outcome = ddpm("convert", "mnist", f"hf:{NAME}@dev", "--force", "--json")
    assert json.loads(outcome.out)["written"] == [f"https://huggingface.co/{NAME}/commit/1"]
    assert server.made == {"revision": "dev"}


def test_a_file_goes_there_with_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(request: Convert) -> list[Path]:
        path = Path(str(request.output))
        path.write_bytes(b"graph")
        cards.beside(path).write_bytes(b"card")
        return [path]

    server = Server(monkeypatch, [])
    target = SimpleNamespace(write=write, SUFFIX=".onnx")
    monkeypatch.setattr(exports, "find", lambda name: target)
    outcome = ddpm("convert", "mnist", "--to", "onnx", f"hf:{NAME}")
    assert outcome.code == 0, outcome.err
    assert server.sent == {"README.md": b"card", "model.onnx": b"graph"}


def test_a_folder_goes_there_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(monkeypatch, [])
    path = random_models.saved(tmp_path / "a.safetensors", {**random_models.UNET, "groups": 8})
    outcome = ddpm("convert", path, "--to", "diffusers", f"hf:{NAME}")
    assert outcome.code == 0, outcome.err
    assert {"README.md", "model_index.json", "unet/config.json"} <= set(server.sent)


def test_a_dry_run_asks_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, whoami=failing(AssertionError("asked a server")))
    outcome = ddpm("convert", "mnist", f"hf:{NAME}", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "")
    assert f"hf:{NAME}: would be sent README.md, model.safetensors" in outcome.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["mnist", f"hf:{NAME}/x.safetensors"], 2, f"a model goes to a repository: hf:{NAME}"),
        (["mnist", f"hf:{NAME}", "--set", "levels.count=5"], 2, "as it is; leave settings out"),
        (
            ["mnist", f"hf:{NAME}", "--weights", "model"],
            2,
            "--weights: of a checkpoint that comes",
        ),
        (["mnist", "hf:x"], 2, "write hf:owner/name"),
        (["mnist:test", f"hf:{NAME}", "--to", "npz"], 2, "statistics are no model"),
        (["none", f"hf:{NAME}"], 1, "none: no such file, run or bundled model"),
        (["mnist", f"hf:{NAME}@v1"], 1, "no such repository, so it has no revisions"),
    ],
)
def test_bad_words(
    words: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(monkeypatch)
    outcome = ddpm("convert", *words)
    assert outcome.code == code, outcome.err
    assert said in outcome.err
    assert not server.sent


def test_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, whoami=failing(errors.LocalTokenNotFoundError("none")))
    outcome = ddpm("convert", "mnist", f"hf:{NAME}")
    assert outcome.code == 1
    assert "no token of yours is there\ntype: hf auth login" in outcome.err.replace("  ", "")
