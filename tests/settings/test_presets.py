from pathlib import Path

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import config, presets
from ddpm_cli.settings.toml import dump_toml, parse_toml


def test_local_wins_over_user_over_packaged(
    local_presets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    packaged, user = tmp_path / "package/presets", tmp_path / "home/ddpm/presets"
    user.mkdir(parents=True)
    for name, folders in {
        "a": [local_presets, user, packaged],
        "b": [user, packaged],
        "c": [packaged],
    }.items():
        for folder in folders:
            (folder / f"{name}.toml").write_text(f"summary = '{folder.parent.name} {name}'")
    assert presets.list_presets() == [
        ("a", f"{local_presets.parent.name} a", "local"),
        ("b", "ddpm b", "user"),
        ("c", "package c", "packaged"),
    ]
    assert presets.names() == ["a", "b", "c"]
    assert presets.find("b") == user / "b.toml"


@pytest.mark.parametrize(
    ("platform", "variable", "place"),
    [
        ("linux", "XDG_CONFIG_HOME", "home/.config"),
        ("darwin", "", "home/Library/Application Support"),
        ("win32", "APPDATA", "home"),
    ],
)
def test_user_folder_is_where_the_system_has_it(
    platform: str, variable: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert presets.user_folder() == tmp_path / place / "ddpm"
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "set"))
        assert presets.user_folder() == tmp_path / "set" / "ddpm"


def test_user_without_a_home_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert [where for where, _ in presets.folders()] == ["local", "packaged"]


def test_checkout_has_its_presets_beside_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dict(presets.folders())["packaged"]
    assert folder == Path(presets.__file__).parents[2] / "presets"


def test_extends_puts_the_other_preset_below(local_presets: Path) -> None:
    (local_presets / "base.toml").write_text("summary = 'base'\n[train]\nsteps = 1\nlr = 0.5")
    (local_presets / "mine.toml").write_text("extends = 'base'\n[train]\nsteps = 2")
    layers = presets.layers("mine")
    assert [layer.values for layer in layers] == [
        {"train": {"steps": 1, "lr": 0.5}},
        {"train": {"steps": 2}},
    ]
    assert [Path(layer.source).name for layer in layers] == ["base.toml", "mine.toml"]


def test_file_may_extend_a_preset(local_presets: Path, tmp_path: Path) -> None:
    (local_presets / "base.toml").write_text("[train]\nsteps = 1")
    (tmp_path / "my.toml").write_text("extends = 'base'")
    assert len(presets.file_layers(tmp_path / "my.toml")) == 2


@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_cycles_are_refused(local_presets: Path, names: list[str]) -> None:
    for name, base in zip(names, [*names[1:], names[0]], strict=True):
        (local_presets / f"{name}.toml").write_text(f"extends = '{base}'")
    with pytest.raises(ConfigError, match=f"extend each other: {' -> '.join([*names, 'a'])}"):
        presets.layers("a")


@pytest.mark.parametrize("base", ["3", "['a']", "true"])
def test_extends_takes_one_name(local_presets: Path, base: str) -> None:
    (local_presets / "a.toml").write_text(f"extends = {base}")
    with pytest.raises(ConfigError, match="give the name of a preset"):
        presets.layers("a")


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "secret\0", "x" * 5000, "~root"],
)
def test_names_are_no_paths(local_presets: Path, name: str) -> None:
    (local_presets.parent / "secret.toml").write_text("password = 'hunter2'")
    for call in (presets.find, presets.layers):
        with pytest.raises(ConfigError) as caught:
            call(name)
        assert "hunter2" not in str(caught.value)


def test_unknown_name_suggests_the_nearest(local_presets: Path) -> None:
    (local_presets / "mnist.toml").write_text("")
    with pytest.raises(ConfigError, match=r"preset 'minst': .*; did you mean mnist\?"):
        presets.find("minst")


def test_broken_preset_is_listed_with_its_fault(local_presets: Path) -> None:
    (local_presets / "bad.toml").write_text("x = = 1")
    (local_presets / "folder.toml").mkdir()
    (local_presets / "good.toml").write_text("summary = 'fine'")
    summaries = {name: summary for name, summary, _ in presets.list_presets()}
    assert summaries["good"] == "fine"
    assert summaries["bad"].startswith("(unusable: ")
    assert "folder" not in summaries


@pytest.mark.parametrize("name", presets.names())
def test_packaged_preset_resolves(name: str) -> None:
    settings = config.resolve(presets.layers(name))
    assert settings["summary"], "the list of presets shows it"
    again = parse_toml(dump_toml(settings), name)
    assert config.resolve([config.Layer(name, again)]) == settings


@pytest.mark.parametrize(
    ("name", "shape", "millions"),
    [
        ("mnist", (1, 28, 28), 0.65),
        ("mnist-large", (1, 28, 28), 2.60),
        ("mnist-classifier", (1, 28, 28), 1.15),
        ("tiny", (1, 28, 28), 0.169),
    ],
)
def test_small_networks_have_their_size(
    name: str, shape: tuple[int, ...], millions: float
) -> None:
    import torch

    from ddpm_cli.files.checkpoints.data_info import DataInfo
    from ddpm_cli.models import build

    with torch.device("meta"):
        network = build.network(config.resolve(presets.layers(name)), DataInfo(shape))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.01)
