"""What networks are told of the noise level."""

import pytest
import torch
from declared import load
from exact import entries, tables

from ddpm_cli.diffusion import labels
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.diffusion.schedules.processes import flow, vp
from ddpm_cli.diffusion.shapes import told
from ddpm_cli.settings import catalog


def test_label_is_the_index(subtests: pytest.Subtests) -> None:
    for name, table in tables().items():
        with subtests.test(table=name):
            _, sigma = entries(table)
            label = index(sigma, table)
            assert label.dtype == torch.float64
            assert torch.equal(label.float(), torch.arange(len(sigma), dtype=torch.float32))


@pytest.mark.parametrize("name", catalog.names("label"))
def test_label_of_a_bare_number_is_that_of_its_tensor(name: str) -> None:
    for sigma in (0.1, 1.8, 77.7):  # float32 has none of them
        number, process = torch.tensor(sigma, dtype=torch.float64), vp()
        assert torch.equal(
            load("label", name)(sigma, process), load("label", name)(number, process)
        )


LABELS = {
    "index": lambda t, sigma: 1000 * t - 1,
    "time": lambda t, sigma: 999 * t,
    "log-sigma": lambda t, sigma: sigma.log() / 4,
    "log-snr": lambda t, sigma: -2 * sigma.log(),
    "sigma": lambda t, sigma: sigma,
}


@pytest.mark.parametrize("name", catalog.names("label"))
def test_labels_of_a_continuous_process(name: str) -> None:
    t = torch.linspace(0.01, 1, 7, dtype=torch.float64)
    process = vp()
    label = load("label", name)(process.sigma(t), process)
    assert label.dtype == torch.float64
    assert torch.allclose(label, LABELS[name](t, process.sigma(t)), rtol=1e-9)


def test_labels_of_networks_that_count_otherwise() -> None:
    process = cosine(steps=4000)
    sigma = process.levels[[0, 1, 3999]]
    assert index(sigma, process, scale=0.25).float().tolist() == [0, 0.25, 999.75]
    between = (process.levels[7] * process.levels[8]).sqrt() * 1.001
    assert index(between, process).item() % 1 != 0
    assert index(between[None], process, nearest=True).tolist() in ([7], [8])
    t = torch.tensor([0.25], dtype=torch.float64)
    level = flow().sigma(t)
    assert labels.time(level, flow(), scale=1.0, reverse=True).item() == 0.75
    assert labels.log_sigma(torch.tensor([2.0]).double(), flow(), scale=1.0, unit=2.0).item() == 0


@pytest.mark.parametrize(
    ("weights", "dtype"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_network_is_told_no_less_than_float32(weights: torch.dtype, dtype: torch.dtype) -> None:
    label = index(torch.tensor(1.8, dtype=torch.float64), vp())
    seen = told(label, torch.zeros(3, 1), torch.nn.Linear(1, 1, dtype=weights))
    assert seen.dtype == dtype
    assert torch.equal(seen, label.to(dtype).expand(3))
