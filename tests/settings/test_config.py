from typing import Any

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings import config
from ddpm_cli.settings.config import Layer

pytestmark = pytest.mark.usefixtures("components")


def resolve(*values: dict[str, Any]) -> config.Config:
    return config.resolve([Layer(f"layer {i}", value) for i, value in enumerate(values)])


def problems(*values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        resolve(*values)
    return caught.value.problems


class TestResolve:
    def test_defaults_are_complete(self) -> None:
        settings = resolve()
        assert settings["sampler"] == {"name": "ddim", "eta": 0.0}
        assert settings["draw"] == {"name": "low-discrepancy"}
        assert settings["wrappers"] == [{"name": "clamp", "limit": 1.0}]
        assert settings["train"] == {"steps": 5000, "lr": 1e-3, "note": ""}
        assert "corrector" not in settings
        assert "label" not in settings

    def test_higher_layer_wins(self) -> None:
        low, high = {"schedule": {"steps": 10}}, {"schedule": {"steps": 20}}
        assert resolve(low, high)["schedule"]["steps"] == 20

    def test_another_name_drops_the_knobs_below(self) -> None:
        low = {"schedule": {"name": "linear", "steps": 10, "first": 0.5}}
        assert resolve(low, {"schedule": {"name": "cosine"}})["schedule"] == {
            "name": "cosine",
            "steps": 1000,
        }

    def test_the_same_name_keeps_them(self) -> None:
        low = {"draw": {"name": "low-discrepancy"}, "train": {"steps": 3}}
        high = {"draw": {"name": "low_discrepancy"}, "train": {"lr": 1}}
        assert resolve(low, high)["train"] == {"steps": 3, "lr": 1.0, "note": ""}

    def test_arrays_are_replaced_whole(self) -> None:
        settings = resolve({"wrappers": [{"name": "cfg", "scale": 3}, {"name": "clamp"}]})
        assert [w["name"] for w in settings["wrappers"]] == ["cfg", "clamp"]
        assert resolve({"wrappers": []})["wrappers"] == []

    def test_optional_table_can_be_switched_off(self) -> None:
        low = {"corrector": {"name": "langevin"}}
        assert resolve(low)["corrector"]["snr"] == 0.16
        assert "corrector" not in resolve(low, {"corrector": {"name": "none"}})

    def test_optional_knob_can_be_none(self) -> None:
        settings = resolve({"corrector": {"name": "langevin", "snr": "none"}})
        assert settings["corrector"]["snr"] is None

    def test_hyphens_in_keys(self) -> None:
        assert resolve({"network": {"multipliers": [4]}})["network"]["multipliers"] == [4]

    @pytest.mark.parametrize(
        ("above", "kept"),
        [
            ({"data": {"name": "folder"}}, False),
            ({"data": {"name": "mnist", "path": "elsewhere"}}, True),
            ({"data": {"path": "elsewhere"}}, True),
            ({"data": {"holdout": 0.2}, "train": {"steps": 3}}, True),
            ({"data": {"name": "folder"}, "summary": "mine"}, True),
        ],
    )
    def test_summary_is_of_the_data_it_came_with(self, above: dict[str, Any], kept: bool) -> None:
        below = {"summary": "28x28 digits", "data": {"name": "mnist"}}
        tables: dict[str, Any] = {}
        for layer in (Layer("a", below), Layer("b", above)):
            config._overlay(tables, layer, [])
        assert ("summary" in tables) == kept

    def test_summary_of_another_path_is_not_kept(self) -> None:
        tables: dict[str, Any] = {}
        for path in ("here", "there"):
            values = {"data": {"name": "folder", "path": path}}
            said = {"summary": "faces"} if path == "here" else {}
            config._overlay(tables, Layer(path, said | values), [])
        assert "summary" not in tables

    def test_summary_is_kept(self) -> None:
        assert resolve({"summary": "digits"})["summary"] == "digits"

    def test_number_types(self) -> None:
        settings = resolve({"sampler": {"eta": 1}})["sampler"]["eta"]
        assert (settings, type(settings)) == (1.0, float)


class TestProblems:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"smapler": {}}, "smapler: unknown table (from layer 0); did you mean sampler?"),
            (
                {"sampler": {"etaa": 1}},
                "sampler.etaa: unknown key for ddim (from layer 0); did you mean eta?",
            ),
            (
                {"sampler": {"name": "dimm"}},
                "sampler.name: no sampler is named 'dimm' (from layer 0); did you mean ddim?",
            ),
            (
                {"sampler": {"eta": True}},
                "sampler.eta: true does not fit (from layer 0); give a number, 0 to 1,000,000,000",
            ),
            (
                {"sampler": {"eta": -1}},
                "sampler.eta: -1 does not fit (from layer 0); give a number, 0 to 1,000,000,000",
            ),
            (
                {"train": {"name": "x"}},
                "train.name: unknown key (from layer 0); did you mean note?",
            ),
            ({"corrector": {"snr": 1}}, "corrector.name: missing; choose from langevin"),
            (
                {"wrappers": [{"name": "cfg"}, {"name": "clamp", "limit": 10}]},
                (
                    "wrappers[1].limit: 10 does not fit (from layer 0); "
                    "give a number, more than 0, at most 9"
                ),
            ),
            (
                {"wrappers": {"name": "cfg"}},
                (
                    "wrappers: {name = 'cfg'} does not fit; "
                    'give an array of tables: wrappers = [{ name = "..." }]'
                ),
            ),
            (
                {"sampler": "heun"},
                "sampler: 'heun' does not fit; did you mean sampler.name=heun?",
            ),
            ({"train": 3}, "train: 3 does not fit; give a table: [train]"),
            ({"summary": 3}, "summary: 3 does not fit; give a string"),
        ],
    )
    def test_message(self, values: dict[str, Any], expected: str) -> None:
        assert problems(values) == (expected,)

    def test_all_are_reported_at_once(self) -> None:
        values = {"sampler": {"eta": "x"}, "data": {"pth": ""}, "train": {"steps": 0}, "y": {}}
        assert len(problems(values)) == 4

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), True, "1", [1], {}, 2**63, None]
    )
    def test_no_number(self, value: Any) -> None:
        assert "sampler.eta" in problems({"sampler": {"eta": value}})[0]

    def test_number_with_too_many_digits_to_print(self) -> None:
        assert "this number" in problems({"sampler": {"eta": 10**5000}})[0]

    @pytest.mark.parametrize("value", [1.0, True, "1", 0, -1, 2**64])
    def test_no_count(self, value: Any) -> None:
        assert "schedule.steps" in problems({"schedule": {"steps": value}})[0]

    @pytest.mark.parametrize("value", [1, True, "a\0b", "\ud800"])
    def test_no_string(self, value: Any) -> None:
        assert "data.path" in problems({"data": {"path": value}})[0]

    def test_no_list_and_no_choice(self) -> None:
        values = {"multipliers": [1, 0], "norm": "batch", "scale": 1}
        assert len(problems({"network": values})) == 3

    def test_long_values_are_cut(self) -> None:
        assert len(problems({"sampler": {"eta": "x" * 5000}})[0]) < 200

    def test_nothing_is_evaluated(self) -> None:
        for name in ("__import__('os')", "os.system", "../ddim", "Table", "_helper"):
            assert "schedule.name" in problems({"schedule": {"name": name}})[0]


def test_merge_joins_tables_and_the_last_wins() -> None:
    values = [{"a": {"x": 1, "y": 1}}, {"a": {"x": 2}}, {"b": []}]
    assert config.merge(values) == {"a": {"x": 2, "y": 1}, "b": []}


@pytest.mark.parametrize("text", ["", "[]", "nul", "[" * 10**5, '{"sampler": {"eta": NaN}}'])
def test_corrupt_json_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        config.from_json(text, "model.safetensors")
