"""`ddpm nll`: files and data sets measured, terms and curves written, and what is refused."""

import csv
import gzip
import json
import math
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from runs import PLAIN, Outcome, ddpm
from safetensors.torch import load_file

from ddpm_cli.data.sets import images as sets
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import encode_png, open_image
from ddpm_cli.pipelines.nll_measuring import Tally
from ddpm_cli.pipelines.rows import Rows

QUICK = ("--steps", 6, *PLAIN)
BOUND = ("--method", "vlb", "--steps", 8, *PLAIN)
DRAWN = (*BOUND, "--drawn", 3)

pytestmark = [pytest.mark.small, pytest.mark.usefixtures("here")]


def nll(*words: object) -> tuple[list[float], dict[str, Any]]:
    """Bits of each row, and the summary."""
    outcome = ddpm("nll", *words, "--json")
    assert outcome.code == 0, outcome.err
    *rows, last = map(json.loads, outcome.out.splitlines())
    return [row["bits"] for row in rows], last


def pictures(data: Path, count: int) -> None:
    """The first test images as files 0.png ..."""
    images, _ = sets.mnist("test", path=str(data))[torch.arange(count)]
    for number, image in enumerate(images):
        Path(f"{number}.png").write_bytes(encode_png(image))


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestDrawn:
    """--drawn: of the bound's terms, some are measured for each image."""

    def test_their_mean_is_that_of_all(self) -> None:
        _, whole = nll("--split", "test", "-n", 8, *BOUND, "--repeats", 40)
        _, some = nll("--split", "test", "-n", 8, *DRAWN, "--repeats", 160)
        assert (whole["calls"], some["calls"]) == (320, 480)
        assert some["bits"] == pytest.approx(whole["bits"], rel=0.02)
        assert "3 terms drawn an image" in some["method"]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--steps", 5, "--sampler", "heun"),
        ("--probes", 3, "--trace", "gaussian"),
        ("--samples", 2, "--dequantize", "truncated"),
        ("--repeats", 2),
        ("--class", "all"),
        ("--trace", "exact", "--sampler", "ddim"),
        ("--method", "vlb"),
    ],
    ids=lambda words: " ".join(map(str, words)) or "ode",
)
def test_what_is_planned_is_what_is_done(words: tuple[object, ...]) -> None:
    words = ("--split", "test", "-n", 2, *QUICK, *words)
    *rows, last = map(json.loads, ddpm("nll", *words, "--json").out.splitlines())
    gradients = f" and {last['gradients']:.0f} gradients" if "gradients" in last else ""
    assert ("vlb" in words) == (not gradients)
    planned = ddpm("nll", *words, "--dry-run").err
    assert f"{last['calls']:.0f} network calls{gradients} an image" in planned
    for row in rows:
        assert [row.get(key, 0) for key in ("calls", "gradients")] == [
            last["calls"],
            last.get("gradients", 0),
        ]


@pytest.mark.parametrize("way", [QUICK, BOUND, DRAWN], ids=["ode", "vlb", "drawn"])
class TestEither:
    def test_summary(self, way: tuple[object, ...]) -> None:
        bits, last = nll("--split", "test", "-n", 5, *way)
        found = torch.tensor(bits, dtype=torch.float64)
        assert (len(bits), last["images"]) == (5, 5)
        assert last["bits"] == pytest.approx(float(found.mean()))
        assert last["bits_error"] == pytest.approx(float(found.std()) / math.sqrt(5))
        assert last["nats"] == pytest.approx(last["bits"] * math.log(2))
        outcome = ddpm("nll", "--split", "test", "-n", 5, *way)
        assert re.match(rf"{last['bits']:.4f} bits/dim, standard error \d+\.\d+ ", outcome.out)
        assert f"{last['calls']:.0f} network calls" in outcome.err
        assert "256 levels" in outcome.err

    def test_files_are_measured_like_rows(self, data: Path, way: tuple[object, ...]) -> None:
        pictures(data, 3)
        rows, _ = nll("--split", "test", "-n", 3, *way)
        files, _ = nll("0.png", "1.png", "2.png", *way)
        assert files == rows
        assert len({*rows}) == 3

    def test_alone_and_in_any_batch(self, way: tuple[object, ...]) -> None:
        whole, _ = nll("--split", "test", "-n", 5, *way)
        single, _ = nll("--split", "test", "-n", 5, "-b", 1, *way)
        pairs, _ = nll("--split", "test", "-n", 5, "-b", 2, *way)
        assert single == pytest.approx(whole, abs=1e-4)
        assert pairs == pytest.approx(whole, abs=1e-4)

    def test_seeds_and_repeats(self, way: tuple[object, ...]) -> None:
        same, last = nll("--split", "test", "-n", 2, *way)
        again, _ = nll("--split", "test", "-n", 2, *way)
        other, _ = nll("--split", "test", "-n", 2, "--seed", 7, *way)
        assert same == again
        assert same != pytest.approx(other, abs=1e-4)
        mean, twice = nll("--split", "test", "-n", 2, "--repeats", 2, *way)
        assert twice["calls"] == 2 * last["calls"]
        assert mean != pytest.approx(same, abs=1e-5)

    def test_classes(self, way: tuple[object, ...]) -> None:
        """The labels of these digits are 0 1 2 3 0 ..."""
        none, _ = nll("--split", "test", "-n", 4, *way)
        own, _ = nll("--split", "test", "-n", 4, "--class", "own", *way)
        two, _ = nll("--split", "test", "-n", 4, "--class", 2, *way)
        assert own[2] == pytest.approx(two[2], abs=1e-4)
        assert own[1] != pytest.approx(two[1], abs=1e-5)
        assert none[2] != pytest.approx(two[2], abs=1e-5)

    def test_some_inputs_fail(self, data: Path, way: tuple[object, ...]) -> None:
        pictures(data, 2)
        Path("bad.png").write_bytes(b"no image")
        outcome = ddpm("nll", "0.png", "bad.png", "1.png", *way, "--json")
        assert outcome.code == 3
        assert "Error: bad.png" in outcome.err
        rows = [json.loads(line) for line in outcome.out.splitlines()]
        assert [row.get("input") for row in rows] == ["0.png", "1.png", None]
        assert (rows[-1]["images"], rows[-1]["data"]) == (2, "2 of 3 images")

    def test_quantized_images(self, way: tuple[object, ...]) -> None:
        for number, top in enumerate((255, 3)):
            level = torch.arange(64).reshape(1, 8, 8) % (top + 1)
            Path(f"{number}.png").write_bytes(encode_png((level * 255 // top).to(torch.uint8)))
        eight, _ = nll("1.png", *way)
        two, _ = nll("1.png", "--bits", 2, *way)
        assert two[0] < eight[0]
        refused = ddpm("nll", "0.png", "--bits", 2, *way)
        assert (refused.code, "0.png: has other values" in refused.err) == (1, True)

    def test_arrays(self, roll: Path, way: tuple[object, ...]) -> None:
        words = ("-m", roll, "--split", "test", "-n", 4)
        bits, last = nll(*words, *way)
        std = torch.tensor(read_header(roll / "model.safetensors").data.std)
        assert last["offset"] == pytest.approx(float(std.log2().mean()))
        assert all(map(math.isfinite, bits))
        assert "of density" in ddpm("nll", *words, *way).out

    def test_not_finite(self, run: Path, way: tuple[object, ...]) -> None:
        path = run / "model.safetensors"
        header, weights = checkpoint.load(path)
        checkpoint.save(path, {k: v * 1e30 for k, v in weights.items()}, header)
        outcome = ddpm("nll", "-m", run, "--split", "test", "-n", 1, *way)
        assert (outcome.code, outcome.out) == (1, "")
        assert "no finite number" in outcome.err


def test_exact_trace_and_probes() -> None:
    words = ("--split", "test", "-n", 1, "--steps", 8, *PLAIN)
    exact, _ = nll(*words, "--trace", "exact")
    probed, last = nll(*words, "--trace", "gaussian", "--probes", 100)
    assert "100 gaussian probes" in last["method"]
    assert probed == pytest.approx(exact, abs=1)
    assert probed != exact


class TestStates:
    """How bytes become real numbers, and how many of them there are of each image."""

    WORDS = ("--split", "test", "-n", 3, *QUICK)

    def test_one_uniform_sample_is_what_is_measured_unless_told(self) -> None:
        usual, last = nll(*self.WORDS)
        same, told = nll(*self.WORDS, "--dequantize", "uniform", "--samples", 1)
        assert same == usual
        assert (told["dequantize"], told["samples"], told["calls"]) == (
            "uniform",
            1,
            last["calls"],
        )

    @pytest.mark.parametrize("kind", ["uniform", "truncated"])
    def test_bound_falls_with_the_samples(self, kind: str) -> None:
        words = ("--split", "test", "-n", 3, "--steps", 4, *PLAIN, "--dequantize", kind,
                 "--trace", "exact")  # fmt: skip
        means, calls = [], []
        for count in (1, 8):
            _, last = nll(*words, "--samples", count)
            means.append(last["bits"])
            calls.append(last["calls"])
        # Of a model that has hardly learned anything the weights of bytes are almost alike.
        assert means[1] != means[0]
        assert means[1] < means[0] + 1e-3
        assert calls[1] == 8 * calls[0]
        assert "bound of 8 samples" in last["method"]

    def test_half_of_the_probes_tells_samples_apart(self) -> None:
        words = ("--split", "test", "-n", 2, "--steps", 4, *PLAIN, "--samples", 4)
        _, usual = nll(*words)
        assert "2 rademacher probes, bound of 4 samples" in usual["method"]
        _, same = nll(*words, "--probes", 2)
        assert same["bits"] == usual["bits"]
        refused = ddpm("nll", *words, "--probes", 3)
        assert refused.code == 2
        assert "--probes 3: one half tells the samples apart" in refused.err
        assert "give --probes 4, or --trace exact" in refused.err
        exact, _ = nll(*words, "--trace", "exact")
        whole, _ = nll(*words, "--trace", "antithetic", "--probes", 128)  # exact, in both halves
        assert whole == pytest.approx(exact, rel=1e-4)

    def test_truncated_noise_is_another_figure(self) -> None:
        uniform, one = nll(*self.WORDS)
        truncated, last = nll(*self.WORDS, "--dequantize", "truncated")
        assert truncated != pytest.approx(uniform, abs=0.01)
        assert last["calls"] == one["calls"] + 1
        planned = ddpm("nll", *self.WORDS, "--dequantize", "truncated", "--dry-run").err
        assert f"{last['calls']:.0f} network calls" in planned
        said = ddpm("nll", *self.WORDS, "--dequantize", "truncated").err
        assert "dequantized by truncated normals" in said

    def test_antithetic_probes(self) -> None:
        plain, _ = nll(*self.WORDS, "--trace", "rademacher")
        first, last = nll(*self.WORDS, "--trace", "antithetic")
        assert first == plain
        words = ("--split", "test", "-n", 1, "--steps", 3, *PLAIN, "--trace")
        exact, _ = nll(*words, "exact")
        whole, last = nll(*words, "antithetic", "--probes", 64)
        assert whole == pytest.approx(exact, abs=1e-4)
        assert "64 antithetic probes" in last["method"]

    def test_of_rows_there_is_nothing_to_choose(self, roll: Path) -> None:
        for words in (("--samples", 2), ("--dequantize", "truncated")):
            outcome = ddpm("nll", "-m", roll, "--split", "test", *words)
            assert (outcome.code, f"{words[0]}: of images alone" in outcome.err) == (2, True)


def test_baselines_of_the_same_images(data: Path, roll: Path) -> None:
    words = ("--split", "test", "-n", 5, *QUICK)
    bits, last = nll(*words, "--baselines")
    assert bits == nll(*words)[0]
    found = {row["baseline"]: row for row in last["baselines"]}
    assert list(found) == ["gzip -9", "bz2 -9", "xz -9e", "PNG", "histograms"]
    pixels, _ = sets.mnist("test", path=str(data))[torch.arange(5)]
    size = len(gzip.compress(pixels.numpy().tobytes(), 9))
    assert found["gzip -9"]["bits"] == pytest.approx(8 * size / pixels.numel())
    assert found["PNG"]["bits_error"] > 0
    assert "from 48 images in training" in found["histograms"]["of"]
    said = ddpm("nll", *words, "--baselines").out.splitlines()
    assert len(said) == 6
    assert f"{found['PNG']['bits']:.4f} bits/dim" in said[4]
    pictures(data, 2)
    _, last = nll("0.png", "1.png", *QUICK, "--baselines")
    assert [row["baseline"] for row in last["baselines"]] == ["gzip -9", "bz2 -9", "xz -9e", "PNG"]
    outcome = ddpm("nll", "-m", roll, "--split", "test", "--baselines")
    assert (outcome.code, "--baselines: of images alone" in outcome.err) == (2, True)


class TestStopped:
    """A measurement that is stopped keeps its rows, and goes on."""

    WORDS = ("--split", "test", "-n", 6, *QUICK, "-b", 2, "-o", "s.csv")

    @pytest.fixture
    def stopped(self, monkeypatch: pytest.MonkeyPatch) -> Outcome:
        """Stopped by a signal in the third batch."""
        return self._stopped(monkeypatch, self.WORDS)

    def _stopped(self, monkeypatch: pytest.MonkeyPatch, words: Sequence[object]) -> Outcome:
        take, taken = Tally.take, list[int]()

        def interrupted(self: Tally, batch: Rows) -> bool:
            taken.extend(batch.numbers)
            if len(taken) > 4:
                os.kill(os.getpid(), signal.SIGINT)
            return take(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(Tally, "take", interrupted)
            return ddpm("nll", *words)

    def test_keeps_rows_and_goes_on(self, stopped: Outcome) -> None:
        assert (stopped.code, stopped.out) == (130, "")
        assert "stopped after 4 of 6 rows, which take " in stopped.err
        assert "they are kept in s.csv.part" in stopped.err
        assert not Path("s.csv").exists()
        bits, last = nll(*self.WORDS)
        assert last["images"] == 6
        whole, _ = nll(*self.WORDS, "--force")
        assert bits[:4] == pytest.approx(whole[:4], abs=1e-9)
        assert bits == pytest.approx(whole, abs=1e-4)
        assert len(table("s.csv")) == 6
        assert not Path("s.csv.part").exists()

    def test_a_line_that_was_cut_short_is_measured_again(self, stopped: Outcome) -> None:
        with Path("s.csv.part").open("a", encoding="utf-8") as file:
            file.write('{"row": 4, "bi')
        assert nll(*self.WORDS)[1]["images"] == 6

    def test_it_says_what_is_kept_and_refuses_other_rows(
        self, monkeypatch: pytest.MonkeyPatch, data: Path
    ) -> None:
        pictures(data, 6)
        words = (*(f"{n}.png" for n in range(6)), *QUICK, "-b", 2, "-o", "f.csv")
        self._stopped(monkeypatch, words)
        own = Path("1.png").read_bytes()
        Path("1.png").write_bytes(Path("5.png").read_bytes())
        other = ddpm("nll", *words)
        assert other.code == 2
        assert "-o f.csv: 1.png is another row than when it was measured" in other.err
        Path("1.png").write_bytes(own)
        again = ddpm("nll", *words)
        assert again.code == 0, again.err
        assert "4 rows are measured already, and kept in f.csv.part" in again.err

    def test_more_rows_are_no_other_measurement(self, stopped: Outcome) -> None:
        assert nll(*self.WORDS, "-n", 8)[1]["images"] == 8

    @pytest.mark.parametrize(
        ("more", "key"),
        [(("--seed", 3), "seed"), (("--steps", 7), "levels"), (("--class", 2), "class")],
    )
    def test_others_are_refused(
        self, more: tuple[object, ...], key: str, stopped: Outcome
    ) -> None:
        outcome = ddpm("nll", *self.WORDS, *more)
        assert outcome.code == 2
        assert f"s.csv.part keeps rows that differ in {key}" in outcome.err
        assert "--force" in outcome.err
        assert ddpm("nll", *self.WORDS, *more, "--force").code == 0


def test_adaptive_solver(roll: Path) -> None:
    pytest.importorskip("torchdiffeq")
    words = ("-m", roll, "--split", "test", "-n", 3, *PLAIN)
    fixed, last = nll(*words, "--steps", 100)
    assert "exact trace" in last["method"]
    solved, last = nll(*words, "--sampler", "ode", "--set", "sampler.rtol=1e-4")
    assert "ode to 0.0001" in last["method"]
    assert solved == pytest.approx(fixed, abs=0.01)
    assert last["calls"] > 14


def test_nothing_is_clamped_on_the_ode() -> None:
    assert 'name = "clamp"' not in ddpm("nll", "--split", "test", "--dry-run").out
    bound = ddpm("nll", "--split", "test", "--method", "vlb", "--dry-run").out
    assert 'name = "clamp"' in bound
    with_clamp, _ = nll("--split", "test", "-n", 1, *BOUND)
    without, _ = nll("--split", "test", "-n", 1, *BOUND, "--set", "wrappers=[]")
    assert with_clamp[0] < without[0]


@pytest.mark.parametrize("method", ["ode", "vlb"])
def test_the_network_computes_in_float32_unless_told(method: str) -> None:
    words = ("nll", "--split", "test", "--dry-run", "--method", method)
    assert 'dtype = "float32"' in ddpm(*words).out
    told = ddpm(*words, "--dtype", "bfloat16").out
    assert 'dtype = "bfloat16"' in told


def test_terms_and_rates_add_up() -> None:
    files = ("--terms", "t.csv", "--rate-distortion", "r.csv")
    bits, last = nll("--split", "test", "-n", 5, "-b", 2, *BOUND, *files)
    terms, rates = table("t.csv"), table("r.csv")
    assert [row["term"] for row in terms] == ["L_T", *["L_t-1"] * 7, "L_0"]
    assert [row["t"] for row in terms][1:] == sorted((r["t"] for r in terms[1:]), key=float)[::-1]
    assert sum(float(row["bits"]) for row in terms) == pytest.approx(last["bits"])
    assert terms[0]["mse_x0"] == ""
    eps = float(terms[1]["mse_x0"]) / float(terms[1]["sigma"]) ** 2
    assert float(terms[1]["mse_eps"]) == pytest.approx(eps)
    assert float(rates[-1]["rate"]) == pytest.approx(sum(bits) / 5)
    assert (float(rates[-1]["distortion"]), float(rates[-1]["sigma"])) == (0, 0)
    assert float(rates[0]["rate"]) == pytest.approx(float(terms[0]["bits"]))
    error = 127.5 * math.sqrt(float(terms[2]["mse_x0"]))
    assert float(rates[1]["distortion"]) == pytest.approx(error)
    assert ddpm("nll", "--split", "test", *BOUND, *files).code == 1
    pytest.importorskip("matplotlib")
    nll("--split", "test", "-n", 1, *BOUND, "--rate-distortion", "r.png")
    assert open_image("r.png").shape[0] == 3


def test_one_image_has_no_standard_error(data: Path) -> None:
    pictures(data, 1)
    assert nll("0.png", *QUICK)[1]["bits_error"] is None
    nll("0.png", *BOUND, "--terms", "t.csv")
    assert {row["bits_error"] for row in table("t.csv")} == {""}


def test_all_levels_of_the_process_are_the_default() -> None:
    config = ddpm("nll", "--split", "test", "--method", "vlb", "--dry-run")
    steps = json.loads(ddpm("info", "--json").out)["schedule"]["steps"]
    assert f"{steps} network calls" in config.err
    fewer = ddpm("nll", "--split", "test", "--method", "vlb", "--calls", 5, "--dry-run")
    assert 'name = "logsnr"' in fewer.out
    assert "5 network calls" in fewer.err


def test_more_rows_than_there_are() -> None:
    outcome = ddpm("nll", "--split", "test", "-n", 99, *QUICK)
    assert (outcome.code, "there are 16 rows" in outcome.err) == (0, True)


def test_optimal_variance_takes_moments(run: Path) -> None:
    words = ("--split", "test", "-n", 2, *BOUND, "--variance", "optimal")
    missing = ddpm("nll", "-m", run, *words)
    assert (missing.code, "ddpm fit" in missing.err) == (1, True)
    assert ddpm("fit", run, "-n", 16, "-o", "m.safetensors", *PLAIN).code == 0
    assert "gamma" in load_file("m.safetensors")
    small, _ = nll("-m", run, "--split", "test", "-n", 2, *BOUND)
    optimal, _ = nll("-m", run, *words, "--moments", "m.safetensors")
    assert optimal != pytest.approx(small, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "INPUT: name images"),
        (("x.png", "--split", "test"), 2, "--split: of a data set"),
        (("x.png", "--class", "own"), 2, "--class own: of a data set"),
        (("x.png",), 1, "x.png"),
        (("--split", "test", "--class", "seven"), 2, "no class is named 'seven'"),
        (("--split", "test", "--fit", "crop"), 2, "--fit: of image files"),
        (("--split", "test", "--terms", "t.csv"), 2, "--terms: of no use with --method ode"),
        (("--split", "test", "--method", "vlb", "--probes", 2), 2, "--probes: of no use"),
        (("--split", "test", "--method", "vlb", "--sampler", "heun"), 2, "--sampler: of no use"),
        (("--split", "test", "--trace", "exact", "--probes", 2), 2, "--probes: of no use"),
        (("--split", "test", "--method", "vlb", "--samples", 2), 2, "--samples: of no use"),
        (("--split", "test", "--method", "vlb", "--dequantize", "truncated"), 2, "--dequantize: "),
        (("--split", "test", "--set", 'wrappers=[{name="clamp"}]'), 2, "wrappers.clamp"),
        (("--split", "test", "--sampler", "ddpm"), 2, "adds noise"),
        (("--split", "test", "--steps", 2), 2, "more"),
        (("--split", "test", "--method", "vlb", "--steps", 1), 2, "two or more"),
        (("--split", "test", "--drawn", 3), 2, "--drawn: of no use with --method ode"),
        (("--split", "test", *BOUND, "--drawn", 8), 2, "of a bound of 8 terms"),
        (("--split", "test", *DRAWN, "--rate-distortion", "c.png"), 2, "leave out one of the two"),
        (("--split", "test", *DRAWN, "--terms", "t.csv"), 2, "of all terms, and --drawn"),
        (("--split", "test", "--method", "vlb", "--variance", "learned"), 2, "learned"),
        (("--split", "test", "--method", "vlb", "--terms", "t.txt"), 2, "use .csv"),
        (("--data", "swiss-roll"), 2, "data: 2 values a row"),
        (("-m", "mnist-inpaint", "--split", "test"), 1, "a model for inpaint"),
        (("-m", "mnist", "--split", "test", "--sampler", "ode", "--steps", 9), 2, "--steps"),
    ],
    ids=str,
)
def test_refusals(words: tuple[object, ...], code: int, says: str) -> None:
    outcome: Outcome = ddpm("nll", *words)
    assert (outcome.code, outcome.out) == (code, "")
    assert says in outcome.err
    assert outcome.err.count("Error:") == 1
    assert not runs.contents(Path())
