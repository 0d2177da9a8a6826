"""Methods of restoring by the names of their papers."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import catalog, methods
from ddpm_cli.settings.config import resolve


@pytest.mark.parametrize("name", methods.NAMES)
def test_each_name_is_a_configuration(name: str) -> None:
    config = resolve([methods.layer(name)])
    assert config["method"]["name"] in catalog.names("method")
    assert [edit["name"] for edit in config["edits"]] == {
        "repaint": ["jumps"],
        "daps": ["daps"],
    }.get(name, [])


def test_each_component_has_a_name() -> None:
    named = {methods.layer(name).values["method"]["name"] for name in methods.NAMES}
    assert named == set(catalog.names("method"))


@pytest.mark.parametrize("name", methods.NAMES)
def test_a_configuration_is_called_as_it_was_asked_for(name: str) -> None:
    assert methods.called(resolve([methods.layer(name)])) == name


def test_a_step_of_its_own_takes_no_other_sampler() -> None:
    config = resolve([methods.layer("ddrm")])
    methods.refuse_idle(config, config)
    own = config | {"sampler": {"name": "heun"}}
    with pytest.raises(ConfigError, match="--sampler ddim: ddrm has a step of its own"):
        methods.refuse_idle(config, own)
    methods.refuse_idle(resolve([methods.layer("mmps")]), own)


def test_noise_is_of_those_that_ask() -> None:
    for name in (*methods.NAMES, "zero-shot", "covariance"):
        methods.refuse_noise(name, 0.0)
        if name in methods.EXACT or name not in methods.NAMES:
            with pytest.raises(ConfigError, match=f"--noise: {name} does not ask for it"):
                methods.refuse_noise(name, 0.1)
        else:
            methods.refuse_noise(name, 0.1)
