"""How a run stands: the last numbers, the time that is left, the best of each measure."""

import math
from typing import Any

from ddpm_cli.files.metrics import Row
from ddpm_cli.pipelines import standing
from ddpm_cli.settings import catalog

CONFIG = {"train": {"steps": 100, "batch": 8}}


def told(*rows: Row, config: Any = CONFIG) -> dict[str, Any]:
    return standing.told(rows, config)


def test_time_left_is_that_of_recent_steps() -> None:
    rows = [{"step": 10.0 * n, "seconds": 50.0 + 2 * n} for n in range(1, 6)]
    assert told(*rows)["seconds_left"] == 10
    assert told({"step": 20, "seconds": 4})["seconds_left"] == 16
    assert told({"step": 50, "images_per_second": 80})["seconds_left"] == 5
    assert told({"step": 50})["seconds_left"] is None
    assert told({"step": 100, "seconds": 7})["seconds_left"] == 0
    assert told({"step": 50, "seconds": 7}, config={})["seconds_left"] is None


def test_the_last_of_each_number() -> None:
    facts = told({"step": 1, "loss": 2, "held_out": 3, "lr": 1}, {"step": 2, "loss": 1})
    assert facts["last"] == {"loss": 1, "held_out": 3}
    assert facts["logged_step"] == 2
    assert told({"step": 1, "loss": math.nan})["last"] == {"loss": None}


def test_the_best_measure_is_the_least_distance_or_the_most_of_what_is_good() -> None:
    rows: list[Row] = [
        {"step": 1, "eval.fid": 9, "eval.recall": 0.5, "eval.fid_error": 0.1, "eval.n": 64},
        {"step": 2, "eval.fid": 4, "eval.recall": 0.4},
        {"step": 3, "eval.fid": math.nan, "eval.recall": 0.3},
    ]
    assert standing.best(rows) == {
        "fid": {"value": 4, "step": 2}, "recall": {"value": 0.5, "step": 1}
    }  # fmt: skip
    assert told({"step": 1})["best_eval"] is None


def test_of_each_metric_it_is_known_whether_more_is_better() -> None:
    """The best model of a run is chosen by it: a new metric is to be put on one of the lists."""
    falls = {"fid", "sfid", "kid", "fid_infinity", "class_histogram", "memorisation"}
    names = {name.replace("-", "_") for name in catalog.names("metric")}
    assert falls & set(standing.RISING) == set()
    assert names - falls - set(standing.RISING) == set()
