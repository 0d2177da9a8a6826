"""A small package of components, so that these tests hold whatever the real ones are."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

# Networks of a few thousand weights are faster with one thread; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import random_encoders
import runs
import torch
from golden.load_golden import golden_tests
from hypothesis import HealthCheck, settings

from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.settings import catalog, presets, recipes

# A busy machine is slow to draw examples, which says nothing of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

FILES = {
    "data/sets/images.py": "def mnist(split, *, path: str = ''): 'Digits.'",
    "diffusion/schedules/tables.py": """
        from ddpm_cli.settings.knobs import Count, Positive
        class Table: "A type, no component."
        def _helper(): "No component."
        def cosine(*, steps: Count = 1000): "Squared cosine."
        def linear(*, steps: Count = 1000, first: Positive = 1e-4): "Rising linearly (eq. 3)."
    """,
    "networks/unet.py": '''
        LEVELS = (1, 2)
        class unet:
            """U-Net.  It has skips."""
            def __init__(self, channels, *, width: Count = 64, multipliers: list[Count] = LEVELS,
                         norm: Literal["group", "pixel"] = "group", classes: Index = 0,
                         dropout: Fraction = 0.0, scale: bool = False) -> None: ...
    ''',
    "diffusion/parameterizations.py": "def v(sigma): 'Velocity.'\ndef eps(sigma): 'Noise.'",
    "diffusion/labels.py": "def index(sigma, *, scale: float = 1.0): 'The index.'",
    "diffusion/draws.py": "def low_discrepancy(n): 'Even times.'",
    "diffusion/losses/denoising.py": "def simple(x0): 'Mean squared error.'",
    "diffusion/samplers/ddim.py": "def ddim(x, *, eta: NonNegative = 0.0): 'DDIM. Song 2021.'",
    "diffusion/samplers/heun.py": "def heun(x): 'Heun.'",
    "diffusion/correctors.py": "def langevin(x, *, snr: Positive | None = 0.16): 'Langevin.'",
    "diffusion/levels.py": "def trailing(n, *, count: Count = 50): 'Trailing.'",
    "diffusion/wrappers.py": """
        from typing import Annotated
        def clamp(d, *, limit: Annotated[float, Range(0, 9, open_low=True)] = 1.0): "Clamp."
        def cfg(d, *, scale: float = 1.0): "Guide."
    """,
    "diffusion/guidance.py": "def guidance(x, *, scale: NonNegative = 1.0): 'Two passes.'",
    "diffusion/guiders/linear.py": "def cfg(x): 'Plain.'",
    "diffusion/units.py": "def units(*, low: float = -1.0, high: float = 1.0): 'Where data lie.'",
    "guides/parts/particles.py": "def particles(*, size: Count = 8): 'Several walks.'",
    "networks/parts/inputs.py": "def fourier(*, exponents: float = 6.0): 'Features.'",
    "networks/parts/energies.py": "def energy(*, scale: float = 1.0): 'Slopes.'",
    "networks/conditions/values.py": "def values(count, *, drop: float = 0.1): 'Numbers.'",
    "networks/conditions/augment.py": "def augment(*, p: float = 0.12): 'Changes.'",
    "networks/conditions/vector.py": "def vector(*, size: int = 0): 'A vector.'",
    "networks/conditions/strength.py": "def strength(*, low: float = 1.0): 'Strength.'",
    "networks/conditions/latent.py": "def latent(*, size: int = 100): 'A latent.'",
    "models/teacher.py": "def teacher(*, model: str = ''): 'A teacher.'",
    "models/image_vectors.py": "def embed(*, encoder: str = ''): 'Vectors.'",
    "networks/conditions/text.py": "def text(*, drop: float = 0.1): 'Text.'",
    "diffusion/renoise.py": "def renoise(x, *, noise: Positive = 1.0): 'A level up.'",
    "training/loop.py": """
        def helper(*, device: "torch.device" = None): ...
        def train(x, *, steps: Count = 5000, lr: Positive = 1e-3, note: str = ""): "Train."
    """,
    "hardware.py": "def compute(*, device: str = 'auto', dtype: str = 'float32'): 'Where.'",
    "training/init.py": "def init(*, model: str = ''): 'Start from a model.'",
}


@pytest.fixture
def components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put the catalog on a folder of made-up components."""
    root = tmp_path / "package"
    for name, source in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source), encoding="utf-8")
    monkeypatch.setattr(catalog, "ROOT", root)
    monkeypatch.setattr(recipes, "_files", dict)
    catalog._components.cache_clear()
    yield root
    catalog._components.cache_clear()


@pytest.fixture
def local_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty ./presets, and no others."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "presets"
    folder.mkdir()
    monkeypatch.setattr(presets, "__file__", str(tmp_path / "package" / "settings" / "presets.py"))
    (tmp_path / "package" / "presets").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings and the cache of whoever runs the tests out of them."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MODEL", "PRESET", "SEED", "BATCH", "DEVICE", "DTYPE", "SET", "BUDGET"):
            patch.delenv(f"DDPM_{name}", raising=False)
        patch.delenv("RANK", raising=False)
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        # What makes files outlive a power cut takes a tenth of the time.
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 48 tiny images, as runs.train takes it."""
    return runs.digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def finished(request: pytest.FixtureRequest) -> Path:
    """The folder of a run that was never interrupted; copy it before changing it.

    In files that are marked as small it is that of runs.train_small, else of runs.train.
    """
    is_small = request.node.get_closest_marker("small") is not None
    folder: Path = request.getfixturevalue("finished_small" if is_small else "finished_tiny")
    return folder


@pytest.fixture(scope="session")
def finished_tiny(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of runs.train that was never interrupted."""
    return _trained(runs.train, data, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def finished_small(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of runs.train_small that was never interrupted."""
    return _trained(runs.train_small, data, tmp_path_factory.mktemp("runs") / "small")


def _trained(train: Callable[[Path, Path], runs.Outcome], data: Path, folder: Path) -> Path:
    outcome = train(data, folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture(scope="session")
def roll(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little trained run on the swiss roll, without classes; copy it before changing it."""
    folder = tmp_path_factory.mktemp("roll") / "run"
    runs.train_toy("swiss-roll", folder)
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little trained run on a table of people, in two classes; copy it before changing it."""
    folder = tmp_path_factory.mktemp("people") / "run"
    runs.train_table(folder)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small CLIP of random weights; copy it before changing it."""
    return random_encoders.clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test reaches for no network: an exception alone could be caught on its way."""
    asked: list[Any] = []

    def refuse(*where: Any, **_: Any) -> None:
        asked.append(where)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not asked


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in which the finished run is the model."""
    monkeypatch.setenv("DDPM_MODEL", str(finished))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def abc(here: Path) -> Path:
    """The same folder with three images of noise in it: a.png, b.png, c.png."""
    for number, name in enumerate("abc"):
        generator = torch.Generator().manual_seed(number)
        pixels = torch.randint(0, 256, (1, 8, 8), generator=generator, dtype=torch.uint8)
        (here / f"{name}.png").write_bytes(encode_png(pixels))
    return here


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Deal tests to processes file by file, golden ones together: one counts what they compare."""
    from xdist.scheduler import LoadFileScheduling

    together = {path.relative_to(config.rootpath).as_posix() for path in golden_tests()}

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            whole: str = super()._split_scope(nodeid)
            return "golden numbers" if whole in together else whole

    return Together(config, log)
