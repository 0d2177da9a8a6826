"""Correctors, edits and adaptive samplers of a configuration: what is walked and refused."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli import hardware
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.models import build, cost, walk_parts
from ddpm_cli.models.kinds import of_classes
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings.config import Config, Layer, resolve

COMPUTE = hardware.Compute(torch.device("cpu"), torch.float32, False)
REPEAT = [{"name": "repeat"}]


def settings(**tables: Any) -> Config:
    return resolve([Layer("test", {"levels": {"count": 4}, **tables})])


def plan(config: Config) -> tuple[int, int | None]:
    return cost.plan(config, build.schedule(config))[:2]


def test_corrector_calls_are_counted() -> None:
    tables = {"corrector": {"name": "langevin"}, "edits": [{"name": "repeat", "count": 2}]}
    assert plan(settings(**tables)) == (12, 12)
    assert plan(settings(sampler={"name": "hold"}, **tables)) == (12, 9)
    fitted = cost.fit_calls(settings(**tables), build.schedule(settings()), 20)
    assert fitted["levels"]["count"] == 6


def test_edits_are_applied_in_their_order() -> None:
    churn = {"name": "churn", "low": 0.0, "high": 1e9}
    levels = [
        walk_parts.levels(settings(edits=edits), build.schedule(settings()))
        for edits in ([churn], [*REPEAT, churn], [churn, *REPEAT])
    ]
    assert [len(made) for made in levels] == [9, 13, 17]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"edits": REPEAT}, "edits: levels repeat without a corrector"),
        ({"edits": [{"name": "reverse"}]}, "edits: sampling goes from noise to an image"),
        ({"corrector": {"name": "ald"}}, r"corrector.ald: no level repeats; add a repeated level"),
        ({"sampler": {"name": "hold"}}, "sampler.hold: leaves all to a corrector"),
        (
            {"edits": [{"name": "churn"}, {"name": "jumps"}]},
            "edits.jumps: the list already climbs or repeats",
        ),
    ],
)
def test_settings_that_make_no_sense(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        plan(settings(**tables))
    assert len(caught.value.problems) == 1


class Labelled(nn.Module):
    """A network that draws its label, and can tell how many images it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[int] = set()

    def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:
        self.sizes.add(len(x))
        return x + classes.reshape(-1, 1, 1, 1).to(x) / 10


def drawn(config: Config, seeds: list[int]) -> tuple[Tensor, set[int]]:
    network = Labelled()
    denoiser: Denoiser = build.denoiser(config, network)
    header = Header("model", config, DataInfo((1, 2, 2)), step=0)
    model = Model("", header, config, COMPUTE, denoiser)
    batch = Batch(seeds, of_classes([seed % 3 for seed in seeds]))
    *_, last = model.draw(batch, model.prepared()).states
    return last.x, network.sizes


def test_adaptive_sampler_sees_one_image_at_a_time() -> None:
    pytest.importorskip("torchdiffeq")
    config = settings(sampler={"name": "ode", "rtol": 1e-3})
    batch, sizes = drawn(config, [4, 5, 6])
    assert sizes == {1}
    assert torch.equal(drawn(config, [5])[0][0], batch[1])
    assert plan(config) == (4, None)
    with pytest.raises(ConfigError, match="--calls: ode takes as many as its tolerance needs"):
        cost.fit_calls(config, build.schedule(config), 9)
    assert drawn(settings(), [4, 5])[1] == {2}


def test_ode_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(Refusal, match=r"torchdiffeq is not installed") as caught:
        plan(settings(sampler={"name": "ode"}))
    assert "pip install 'ddpm-cli[ode]'" in str(caught.value.message)


def test_noise_of_a_level_up_is_a_setting() -> None:
    edits = [{"name": "churn", "low": 0.0, "high": 1e9}]
    plain, more = (
        drawn(settings(edits=edits, renoise={"noise": noise}), [1])[0] for noise in (1, 2)
    )
    assert not torch.allclose(plain, more)
