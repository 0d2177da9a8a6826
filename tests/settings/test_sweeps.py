"""Lists of --sweep: how they are read, their product, and what is refused of them."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import sweeps
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.sweeps import Stack


def values(text: str) -> tuple[object, ...]:
    (axis,) = sweeps.parse([text])
    return axis.values


def test_values_are_those_of_toml() -> None:
    assert values("sampler=ddim, heun,dpm++2m") == ("ddim", "heun", "dpm++2m")
    assert values("calls=5,10,20") == (5, 10, 20)
    assert values("guidance.scale=1,1.5,2e0") == (1, 1.5, 2.0)
    assert values("network.bias=true,false") == (True, False)
    assert values('edits=[],[{name="repeat", count=2}]') == ([], [{"name": "repeat", "count": 2}])
    assert values("data_x.y='a,b',c") == ("a,b", "c")


def test_equal_values_are_one() -> None:
    assert values("guidance.scale=1,1.0,2,1") == (1.0, 2)
    assert [sweeps.text(value) for value in (1, 1.0, 1.5, True, "dpm++2m", [1, 2])] == [
        "1", "1", "1.5", "true", "dpm++2m", "[1, 2]",
    ]  # fmt: skip


def test_the_last_list_changes_fastest() -> None:
    cells = sweeps.cells(sweeps.parse(["sampler=ddim,heun", "calls=5,10"]))
    assert [cell.words for cell in cells] == [
        "sampler=ddim calls=5",
        "sampler=ddim calls=10",
        "sampler=heun calls=5",
        "sampler=heun calls=10",
    ]
    assert cells[0].values == {"sampler.name": "ddim", "calls": 5}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["sampler"], "write it as"),
        (["=5"], "write it as"),
        (["calls=5,,10"], "a value is empty"),
        (["calls="], "a value is empty"),
        (["calls=5,ten"], "give integers"),
        (["calls=0"], "1 to"),
        (["seed=-1"], "0 to"),
        (["seed=true"], "give integers"),
        (["callls=5"], "did you mean calls?"),
        (["eta=0,1"], "did you mean sampler.eta?"),
        (["guidance_scale=1"], "did you mean guidance.scale?"),
        (["data.path=a,b"], "the same in all cells"),
        (["features=digits"], "the same in all cells"),
        (["calls=5", "calls=10"], "named twice"),
        (["sampler=ddim", "sampler.name=heun"], "named twice"),
        (["steps=5", "calls=10"], "says already how many"),
        (["levels.count=5", "calls=10"], "says already how many"),
        ([f"seed={','.join(map(str, range(101)))}", f"steps={','.join(map(str, range(1, 101)))}"],
         "too many"),
    ],
)  # fmt: skip
def test_refusals(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match="--sweep") as refusal:
        sweeps.parse(texts)
    assert words in str(refusal.value)


def test_what_is_set_is_not_swept() -> None:
    axes = sweeps.parse(["guidance.scale=1,2"])
    sweeps.refuse_fixed(axes, [Layer("mnist.toml", {"guidance": {"scale": 2}})])
    sweeps.refuse_fixed(axes, [Layer("the command line", {"guidance": {"low": 2}})])
    with pytest.raises(ConfigError, match=r"guidance\.scale: set already"):
        sweeps.refuse_fixed(axes, [Layer("the command line", {"guidance": {"scale": 2}})])


def test_knobs_of_the_command_line_hold_in_all_cells() -> None:
    """A name that is swept drops the knobs of a model, but not those that are asked for."""
    model = Layer("model", {"levels": {"name": "karras", "count": 40, "rho": 5.0}})
    asked = Layer("the command line", {"levels": {"count": 20}})
    stack = Stack([model, asked])
    axes = sweeps.parse(["levels=trailing,karras", "sampler=dpm++2m,ddim", "sampler.order=3"])
    found = {}
    for cell in sweeps.cells(axes)[::2]:
        config = resolve(stack(cell))
        found[str(cell.key["levels"])] = config["levels"]
        assert config["sampler"]["name"] == "dpm-solver-pp-multi"
        assert config["sampler"]["order"] == 3
    assert found["trailing"]["count"] == found["karras"]["count"] == 20
    assert found["karras"]["rho"] == 5.0


def test_what_rows_must_agree_in() -> None:
    layers = [
        Layer("a.toml", {"sampler": {"eta": 0.5}, "network": {"width": 8}}),
        Layer("the command line", {"sampler": {"eta": 1.0}, "wrappers": []}),
    ]
    assert sweeps.told(layers, None) == "sampler.eta=1 wrappers=[]"
    assert sweeps.told(layers, 9) == "calls=9 sampler.eta=1 wrappers=[]"
