"""The parts of the benchmark scripts that need no long run."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from image_sets import pack, picture
from runs import ddpm

from ddpm_cli.data.degradations import shrink
from ddpm_cli.diffusion.mixtures import Mixture
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Layer, resolve

FOLDER = Path(__file__).parent.parent / "benchmarks"
FAMILIES = ("mnist", "ncsn", "vp", "subvp", "ve", "iddpm", "edm", "vdm")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the scripts, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = [path.stem for path in FOLDER.glob("*.py")]
    return SimpleNamespace(**{name: import_module(name) for name in names})


def test_a_record_measures_each_key_once(scripts: SimpleNamespace, tmp_path: Path) -> None:
    path, measured = tmp_path / "new" / "record.jsonl", []

    def measure(value: int) -> dict[str, Any]:
        measured.append(value)
        return {"value": value}

    record = scripts.cells.Record(path)
    assert record({"n": (1,)}, measure, 5)["value"] == 5
    path.write_text(path.read_text("utf-8") + '{"key": {"n"', "utf-8")
    again = scripts.cells.Record(path)
    assert again({"n": (1,)}, measure, 6)["value"] == 5
    assert again({"n": (2,)}, measure, 7)["value"] == 7
    assert measured == [5, 7]
    assert [json.loads(line)["value"] for line in path.read_text("utf-8").splitlines()] == [5, 7]


def test_an_odd_image_is_one_that_scores_higher_or_is_less_typical(
    scripts: SimpleNamespace,
) -> None:
    bits = torch.randn(2000, 7, generator=torch.Generator().manual_seed(0)).double() / 10 + 1
    trained, usual = bits[:1000], bits[1000:]
    ranked = scripts.anomaly.scores(usual, trained)
    for shift, expected in ((1.0, 1.0), (-1.0, 0.0)):  # all of it is dearer, or cheaper
        found = scripts.anomaly.scores(usual + shift, trained)
        for name, score in found.items():
            above = scripts.anomaly.auroc(score, ranked[name])
            assert above == pytest.approx(1.0 if "typicality" in name else expected, abs=1e-3)
    assert scripts.anomaly.auroc(usual[:, 0], usual[:, 0]) == pytest.approx(0.5)
    assert scripts.anomaly.auroc(torch.ones(3), torch.ones(2)) == 0.5


def test_markdown_columns_line_up(scripts: SimpleNamespace) -> None:
    text = scripts.cells.markdown(["", "5 steps"], [["eta 0", "1.00"], ["sigma-hat", "12.00"]])
    assert text.splitlines() == [
        "|           | 5 steps |",
        "| --------- | ------: |",
        "| eta 0     |    1.00 |",
        "| sigma-hat |   12.00 |",
    ]


# Song 2021, table 1, CIFAR-10.
PAPER = {
    "eta 0": {10: 13.36, 20: 6.84, 50: 4.67, 100: 4.16, 1000: 4.04},
    "eta 0.2": {10: 14.04, 20: 7.11, 50: 4.77, 100: 4.25, 1000: 4.09},
    "eta 0.5": {10: 16.66, 20: 8.35, 50: 5.25, 100: 4.46, 1000: 4.29},
    "eta 1": {10: 41.07, 20: 18.36, 50: 8.01, 100: 5.78, 1000: 4.73},
    "sigma-hat": {10: 367.43, 20: 133.37, 50: 32.72, 100: 9.99, 1000: 3.17},
}


def test_the_papers_own_table_bears_out_its_conclusions(scripts: SimpleNamespace) -> None:
    assert all(one.holds for one in scripts.ddim_table.conclusions(PAPER))


@pytest.mark.parametrize(
    ("row", "steps", "value", "broken"),
    [("eta 0.2", 10, 1.0, 0), ("sigma-hat", 50, 1.0, 1), ("eta 1", 1000, 90.0, 2)],
)
def test_other_figures_do_not(
    scripts: SimpleNamespace, row: str, steps: int, value: float, broken: int
) -> None:
    changed = PAPER | {row: PAPER[row] | {steps: value}}
    conclusions = scripts.ddim_table.conclusions(changed)
    assert [i for i, one in enumerate(conclusions) if not one.holds] == [broken]


def test_the_claim_is_made_on_equal_and_on_best_spacings(scripts: SimpleNamespace) -> None:
    rows = {
        ("ddim", "time", 20): {"distance": 0.04},
        ("ddim", "karras", 20): {"distance": 0.06},
        ("ddim", "karras", 10): {"distance": 0.01},
        ("dpm-solver++", "karras", 10): {"distance": 0.05},
        ("dpm-solver++", "logsnr", 10): {"distance": 0.07},
    }
    axis = scripts.solver_axis
    claims = axis.claims(axis.Cells(rows, 0.001))
    one, best = "dpm-solver++", "the best levels of each"
    assert claims == [(one, "karras levels", 0.05, 0.06), (one, best, 0.05, 0.04)]
    assert [one.holds for one in claims] == [True, False]
    del rows["ddim", "time", 20], rows["ddim", "karras", 20]
    assert axis.claims(axis.Cells(rows, 0.001)) == []


def test_a_reference_must_be_closer_to_its_witness_than_to_the_rest(
    scripts: SimpleNamespace,
) -> None:
    axis, rows = scripts.solver_axis.Axis(80.0, 0.02, 200, 4), {("ddim", "time", 5): {}}
    rows["ddim", "time", 5] = {"distance": 0.1}
    for gap, word in ((0.001, "agreed"), (0.02, "not agreed well enough")):
        (line,) = scripts.solver_axis.agreement(scripts.solver_axis.Cells(rows, gap), axis)
        assert f": {word}" in line


@pytest.mark.parametrize("name", FAMILIES)
def test_candidates_resolve_on_every_family(scripts: SimpleNamespace, name: str) -> None:
    families = scripts.families
    layers = presets.layers(name if name == "mnist" else f"mnist-{name}")
    config = resolve(layers)
    names = families.candidates(config)
    assert ("ancestral, learned variance" in names) == (name == "iddpm")
    assert set(families.ALWAYS_SHOWN.get(config["schedule"]["name"], ())) <= set(names)
    for candidate in names:
        tables = scripts.cells.PLAIN | families.CANDIDATES[candidate].tables
        tried = resolve([*layers, Layer("benchmark", tables)])
        assert "count" in tried["levels"]


def test_samplers_of_the_table_and_of_the_axis_resolve(scripts: SimpleNamespace) -> None:
    tables = [{"name": "ddim", **knobs} for knobs in scripts.ddim_table.ROWS.values()]
    tables += [solver.sampler for solver in scripts.solver_axis.SOLVERS.values()]
    for sampler in tables:
        resolve([*presets.layers("mnist"), Layer("benchmark", {"sampler": sampler})])


def test_langevin_walks_are_shown_even_if_another_is_better(scripts: SimpleNamespace) -> None:
    trial = scripts.families.Trial
    trials = [trial("heun", {}, {}), trial("walk 2", {}, {}), trial("walk 1", {}, {})]
    assert [t.name for t in scripts.families.shown(trials, ("walk 1", "walk 2"))] == [
        "heun",
        "walk 2",
    ]
    assert [t.name for t in scripts.families.shown(trials[1:], ("walk 1", "walk 2"))] == ["walk 2"]
    assert [t.name for t in scripts.families.shown(trials, ())] == ["heun"]


def test_minutes_add_up_the_speeds_of_a_run(scripts: SimpleNamespace, tmp_path: Path) -> None:
    rows = [
        {"step": 50, "images_per_second": 1.0},
        {"step": 50, "images_per_second": 100.0},  # measured again after a resumption
        {"step": 80, "images_per_second": 50.0},
    ]
    path = tmp_path / "metrics.jsonl"
    assert scripts.families.minutes(path, 12) is None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert scripts.families.minutes(path, 12) == pytest.approx((50 * 12 / 100 + 30 * 12 / 50) / 60)


def test_stratified_estimates_know_their_error(scripts: SimpleNamespace) -> None:
    """A trend in time is no error; noise of variance 4 on 10,000 digits is one of 0.02."""
    times = torch.rand(10_000, generator=torch.Generator().manual_seed(0)).double()
    noise = 2 * torch.randn(10_000, generator=torch.Generator().manual_seed(1)).double()
    mean, error = scripts.bits.estimate(times, 100 * times + noise)
    assert mean == pytest.approx(float((100 * times + noise).mean()))
    assert error == pytest.approx(0.02, rel=0.05)


def test_latents_of_one_digit_agree_and_of_two_do_not(scripts: SimpleNamespace) -> None:
    """Two models that see the same latent through noise, each in its own units."""
    normal = torch.randn(3, 50, 2000, generator=torch.Generator().manual_seed(0)).double()
    first, second = 2 * normal[0] + 5, normal[0] + normal[1]
    table = scripts.latents.correlations(first, second)
    assert float(table[3, 7]) == pytest.approx(
        float(torch.corrcoef(torch.stack([first[3], second[7]]))[0, 1])
    )
    same = scripts.latents.agreement(table)
    assert same["same"] == pytest.approx(0.5**0.5, abs=0.01)
    assert same["different"] == pytest.approx(0, abs=0.01)
    assert same["identified"] == 1
    strangers = scripts.latents.agreement(scripts.latents.correlations(first, normal[2]))
    assert strangers["identified"] < 0.2


def test_two_models_are_compared_at_a_level_that_both_know(scripts: SimpleNamespace) -> None:
    assert scripts.latents.common_top(["mnist", "mnist"]) == 160


def test_help(scripts: SimpleNamespace, subtests: pytest.Subtests) -> None:
    for name, script in vars(scripts).items():
        if hasattr(script, "main"):
            with subtests.test(script=name):
                done = CliRunner().invoke(script.main, ["--help"])
                assert done.exit_code == 0
                assert ("--threads" in done.output) == ("--batch" in done.output)
                assert f"{name}.py" in (FOLDER / "README.md").read_text("utf-8")


FEW = {
    "ddim_table": "-n 2 --steps 1",
    "families": "mnist -n 2 --trial-images 2 --calls 20 --digits 2 --only 'heun, karras'",
    "fitted": "-n 2 --distance-images 2 --reference-levels 3 --calls 2 --sampler ddim --beside 0",
    "guidance": "-n 10 --scale 2 --set levels.count=1",
    "inpainting": "-n 2 --long-images 2 --steps 2 --trained-steps 1 --jump 1 --resample 2",
    "latents": "mnist mnist -n 2 --steps 3 --sampler ddim --compare-steps 3",
    "likelihood": "-n 2 --bound 2 --ode 3",
    "noise": "--rounds 1 --batch 2 --shape 1x8x8 --shape 3x4x4",
    "overhead": "--rounds 1 --calls 2 --batch 2",
    "upscaling": "-n 2 --steps 1",
}


@pytest.fixture
def measured(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Run a script within this process, a few digits its scale, and give the lines it prints."""
    pixels, labels = scripts.scoring.digits("test")
    monkeypatch.setattr(scripts.scoring, "digits", lambda split: (pixels[:100], labels[:100]))

    def lines(name: str, *words: object) -> list[str]:
        main, texts = getattr(scripts, name).main, [str(word) for word in words]
        outcome = CliRunner().invoke(main, texts, catch_exceptions=False)
        assert outcome.exit_code == 0, outcome.output
        printed: list[str] = outcome.stdout.splitlines()
        return printed

    return lines


def test_a_score_is_that_of_ddpm_eval(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a thousand of the test set, which is all that either looks at."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sets = {split: [part[:1000] for part in scripts.scoring.digits(split)]
            for split in ("train", "test")}  # fmt: skip
    monkeypatch.setattr(scripts.scoring, "digits", lambda split: sets[split])
    file, reference = tmp_path / "few.npz", tmp_path / "test.npz"
    np.savez(reference, images=sets["test"][0].numpy())
    pixels, labels = sets["train"]
    np.savez(file, images=pixels[:200].numpy(), classes=labels[:200].numpy().astype(str))
    score = scripts.scoring.Scorer()(*scripts.scoring.load(file))
    outcome = ddpm("eval", file, "--ref", reference, "--metric", "fid", "--json")
    assert outcome.code == 0, outcome.err
    value = json.loads(outcome.out)["metrics"]["fid"]["value"]
    assert score["frechet"] == pytest.approx(value, abs=1e-3)
    assert (score["n"], sum(score["classes"])) == (200, 200)
    assert score["agreement"] > 0.95


def test_every_table_is_measured(
    measured: Callable[..., list[str]], subtests: pytest.Subtests
) -> None:
    """All that draw in their own process, on as little as they take."""
    for name, words in FEW.items():
        with subtests.test(script=name):
            assert len(measured(name, *shlex.split(words))) > 2


def test_a_run_is_bundled(
    measured: Callable[..., list[str]], finished: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.safetensors"
    lines = measured("bundle", finished, small)
    assert lines[1] == f"hash {read_header(small, verify=True).hash}"


def test_guidance_by_texts_is_shown_side_by_side(scripts: SimpleNamespace) -> None:
    job = scripts.command_line.Job(None, 4, "float32", 1, False)
    asked = scripts.clip_guidance.Asked("model", "clip", ["a", "b"], 2, job)
    assert asked.told == ["a", "a", "b", "b"]
    x = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    drawn = [("text alone", 1.0, x), ("clip", 30.0, x)]
    assert scripts.clip_guidance.page(drawn, asked).startswith(b"\x89PNG")
    row = {"first": 0.5, "error": 0.1, "few": 0.75, "mean_rank": 3.0, "texts": 9, "seconds": 2.0}
    lines = scripts.clip_guidance.report([("text alone", 1.0, row), ("clip", 30.0, row)])
    assert "mean rank of 9" in lines
    assert "| clip, 30 " in lines


@pytest.mark.slow
def test_what_trains_is_measured(
    measured: Callable[..., list[str]], subtests: pytest.Subtests, tmp_path: Path
) -> None:
    with subtests.test(script="speed"):
        assert "mnist preset" in measured("speed", "--rounds", 1, "--batch", 2)[-1]
    with subtests.test(script="growth"):
        words = "--batches 8 --sides 28 --counts 2,64 --steps 2,20 --calls 1 --threads 1 --json"
        rows = [json.loads(line) for line in measured("growth", *shlex.split(words))]
        for verb in ("train", "sample"):
            few, *_, many = sorted((r["count"], r["megabytes"]) for r in rows if r["verb"] == verb)
            assert many[1] < 1.05 * few[1], "memory grows with the batch, not with time"
    with subtests.test(script="quality"):
        few = ("--set", "train.steps=2", "--set", "train.batch=2", "--set", "train.warmup=0")
        words = ("-n", 100, "--calls", 2, "--every", 1, "--until", 1, "-o", tmp_path / "curve")
        assert measured("quality", *words, "--", *few)[1].split()[1] == "2"
    with subtests.test(script="pictures"):
        files = {f"{i}.png": picture(i, 8, 8) for i in range(100)}
        archive, run = pack(tmp_path / "set.zip", files), tmp_path / "run"
        few = ("--set", "network.width=8", "--steps", 1, "--batch", 2, "--set", "train.warmup=0")
        data = ("--set", f"data.path={archive}")
        outcome = ddpm("train", "--preset", "emoji-upscale", *data, *few, "-o", run)
        assert outcome.code == 0, outcome.err
        words = ("--steps", 1, "--sheet", tmp_path / "sheet.png")
        assert len(measured("pictures", run, archive, *words)) == 5
    with subtests.test(script="pairs"):
        task = 'task={name="pairs", filter=["grey", "uncrop"]}'
        words = ("--preset", "emoji-colorize", *data, *few, "--set", "data.size=8", "--set", task)
        outcome = ddpm("train", *words, "-o", tmp_path / "pairs")
        assert outcome.code == 0, outcome.err
        words = ("-n", 3, "--steps", 1, "--sheet", tmp_path / "pairs.png")
        assert len(measured("pairs", tmp_path / "pairs", *words)) == 4


class TestGpu:
    def marks(self, scripts: SimpleNamespace, folder: Path, device: str = "cuda") -> Any:
        return scripts.gpu_marks.Marks("c", device, False, folder, {})

    def test_a_figure_passes_by_its_mark(self, scripts: SimpleNamespace, tmp_path: Path) -> None:
        marks = self.marks(scripts, tmp_path)
        marks.note("fast", 3000.0, least=3000.0, speed=True)
        marks.note("slow", 2999.0, least=3000.0, goal=6800.0, speed=True)
        marks.note("close", 1.0, most=1.0)
        marks.note("far", 2.0, most=1.0)
        marks.note("plain", 2.0)
        self.marks(scripts, tmp_path, "cpu").note("rehearsed", 1.0, least=3000.0, speed=True)
        marks.skip("none", "not there")
        with marks.trying("odd"):
            raise ValueError("odd\nlines")
        entries = [json.loads(line) for line in marks.file.read_text().splitlines()]
        verdicts = ["pass", "FAIL", "pass", "FAIL", "measured", "measured", "skipped", "FAIL"]
        assert [entry["verdict"] for entry in entries] == verdicts
        assert entries[-1]["why"] == "ValueError: odd"
        assert "(floor 3000, goal 6800)" in scripts.gpu_marks.line(entries[1])

    def test_a_row_that_ends_badly_keeps_its_figures(
        self, scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here the row's program does not exist, or sleeps after its first figure."""
        left = '{"row": "a", "check": "x", "verdict": "pass", "value": 1, "unit": ""}'
        program = tmp_path / "row.py"
        program.write_text(
            "import pathlib, sys, time\n"
            f"pathlib.Path({str(tmp_path / 'a.jsonl')!r}).write_text({left!r} + chr(10))\n"
            "time.sleep(100 if sys.argv[1] == 'sleep' else 0)\nsys.exit(3)\n"
        )
        monkeypatch.setattr(scripts.gpu, "__file__", str(program))
        for word, why in (("end", "ended with exit code 3"), ("sleep", "took more than its 1 s")):
            first, last = scripts.gpu.attempt("a", [word], tmp_path, 1.0)
            assert first["verdict"] == "pass"
            assert (last["verdict"], last["why"]) == ("FAIL", why)

    def test_rows_are_functions_of_their_modules(self, scripts: SimpleNamespace) -> None:
        for row in scripts.gpu.ROWS.values():
            module, name = row.place.split(":")
            assert callable(getattr(getattr(scripts, module), name))
        assert set(scripts.gpu.USUAL.split(",")) == set(scripts.gpu.ROWS) - {"h"}
        usual = [scripts.gpu.ROWS[name].limit for name in scripts.gpu.USUAL.split(",")]
        assert sum(usual) <= 15 * 60

    def test_flops_of_a_network_count_its_attention(self, scripts: SimpleNamespace) -> None:
        info = scripts.gpu_speed.DataInfo((3, 32, 32))
        config = resolve(presets.layers("cifar10"))
        assert scripts.gpu_speed.forward_flops(config, info) == pytest.approx(12.44e9, rel=0.01)

    @pytest.mark.slow
    def test_every_row_runs_in_small(self, tmp_path: Path) -> None:
        words = ["--device", "cpu", "--smoke", "--minutes", "30", "-o", str(tmp_path), "--json"]
        done = subprocess.run(
            [sys.executable, str(FOLDER / "gpu.py"), *words], stdout=subprocess.PIPE, text=True
        )
        figures = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one for one in figures if one["verdict"] == "FAIL"] == []
        assert {one["row"] for one in figures} == set("abcdefg")
        assert json.loads((tmp_path / "gpu.json").read_text())["figures"] == figures
        assert done.returncode == 0


@pytest.mark.slow
def test_every_answer_is_timed(measured: Callable[..., list[str]]) -> None:
    assert not [line for line in measured("startup", "--rounds", 1) if "failed" in line]


def test_closing_options_come_as_one_job(scripts: SimpleNamespace) -> None:
    seen = []

    @click.command()
    @click.option("-n", "--images", default=5)
    @scripts.command_line.measuring("auto")
    def main(images: int, job: Any) -> None:
        """Measure."""
        seen.append((images, job))
        job.show([{"n": images}, {"n": 6}], lambda: "a table")

    assert CliRunner().invoke(main, []).output == "a table\n"
    words = ["-n", "7", "-b", "3", "--dtype", "float32", "-o", "r.jsonl", "--json"]
    assert CliRunner().invoke(main, words).output == '{"n": 7}\n{"n": 6}\n'
    job = scripts.command_line.Job
    assert seen == [
        (5, job(None, 64, "auto", 0, False)),
        (7, job(Path("r.jsonl"), 3, "float32", 0, True)),
    ]
    assert main.help == "Measure."


class TestInpainting:
    def test_differences_are_paired_on_the_digits_that_both_had(
        self, scripts: SimpleNamespace
    ) -> None:
        long, short = {"psnr": [5.0, 7.0, 9.0, 1.0]}, {"psnr": [4.0, 5.0, 6.0]}
        mean, error = scripts.cells.compared(long, short, "psnr")
        assert (mean, error) == (pytest.approx(2.0), pytest.approx(1 / 3**0.5))

    def test_an_equal_number_of_calls_is_at_most_as_many(self, scripts: SimpleNamespace) -> None:
        from ddpm_cli.models import build, cost

        trained = presets.layers("mnist")[-1].values
        walks = scripts.inpainting.Walks(20, 5, 3)
        calls = {}
        for method in ("replace", "repaint", "replace as long", "model"):
            config = walks.config(method, trained)
            calls[method] = cost.plan(config, build.schedule(config)).calls
            assert bool(config["constraints"]) == (method != "model")
        assert calls == {"replace": 20, "repaint": 50, "replace as long": 50, "model": 20}

    def test_only_the_middle_of_a_digit_is_unknown(self, scripts: SimpleNamespace) -> None:
        digits = scripts.inpainting.test_digits(3)
        assert int((~digits.known).sum()) == 14 * 14
        assert not bool(digits.known[..., 7:21, 7:21].any())
        black = digits.pixels * digits.known
        scorer = SimpleNamespace(classes=lambda x: digits.labels)
        scores = scripts.inpainting.scores(scorer, digits, black)
        assert scores["right"] == [1, 1, 1]
        squares = digits.pixels[..., 7:21, 7:21].double().square().mean((1, 2, 3))
        assert scores["psnr"][1] == pytest.approx(
            10 * float(torch.log10(255**2 / squares[1])), abs=1e-3
        )


class TestUpscaling:
    def test_what_is_given_is_a_quarter_of_the_pixels(self, scripts: SimpleNamespace) -> None:
        digits = scripts.upscaling.test_digits(3)
        assert digits.small.shape == (3, 1, 14, 14)
        again = shrink(digits.pixels.double(), 2).clamp(0, 255)
        assert float((again - digits.small).abs().max()) <= 0.5 + 1e-4

    def test_agreement_and_closeness_are_measured(self, scripts: SimpleNamespace) -> None:
        digits = scripts.upscaling.test_digits(20)
        scorer = SimpleNamespace(classes=lambda x: digits.labels)
        rows = {
            method: scripts.upscaling.measured(scorer, method, None, digits, 8)
            for method in ("bicubic", "consistent bicubic")
        }
        assert min(rows["bicubic"]["difference"]) > 5
        assert max(rows["consistent bicubic"]["difference"]) <= 1
        near, error = scripts.cells.compared(*reversed(rows.values()), "psnr")
        assert 4 < near < 9
        assert 0 < error < 1
        table = scripts.upscaling.report(rows).splitlines()
        assert [line.count("|") for line in table] == [7] * 4
        apart = max(rows["consistent bicubic"]["difference"])
        assert table[3].rstrip(" |").endswith(f" {apart}")

    def test_models_enlarge_digit_i_with_seed_i(self, scripts: SimpleNamespace) -> None:
        job = scripts.command_line.Job(None, 3, "float32", 1, as_json=False)
        subject = scripts.upscaling.load("mnist", 2, job, exact=False)
        assert subject.calls == 2
        small = scripts.upscaling.test_digits(3).small
        together = scripts.upscaling.enlarged(subject, small, 3)
        apart = scripts.upscaling.enlarged(subject, small, 2)
        assert int((together.int() - apart.int()).abs().max()) <= 1


def test_ways_to_measure_likelihood(scripts: SimpleNamespace) -> None:
    way, config = scripts.likelihood.Way, resolve(presets.layers("mnist"))
    for one, count, name in (
        (way("vlb", 0), 1000, "ddpm"),
        (way("vlb", 30), 30, "ddpm"),
        (way("ode", 20, "heun"), 20, "heun"),
    ):
        settled = resolve([Layer("m", config), *one.layers(config)])
        assert (settled["levels"]["count"], settled["sampler"]["name"]) == (count, name)
    row = {"bits": 1.5, "error": 0.01, "calls": 30.0, "seconds": 0.5}
    assert "bound, 30 levels" in scripts.likelihood.report([("mnist", way("vlb", 30), row)])


def test_fillings_of_a_copula_are_held_to_its_conditionals(scripts: SimpleNamespace) -> None:
    ways = ("covariance", "replace")
    exact, rough = (
        scripts.imputation.measured(scripts.imputation.exact(way, "heun", 20), 60, 59)
        for way in ways
    )
    assert abs(exact["mass"] - 0.9) < 0.02
    assert exact["bias"] < 0.06
    assert abs(exact["deviation"] - 1) < 0.05
    assert rough["bias"] > 0.2


def test_windows_that_walk_together_show_no_seams(scripts: SimpleNamespace) -> None:
    """Of a texture that is everywhere the same, with the exact denoiser of a window."""
    found = scripts.seams.measured(count=32, width=48, steps=16)
    ratios = {way: ratio for way, (ratio, _) in found.items()}
    assert ratios["the texture itself"] == pytest.approx(1, abs=0.05)
    assert ratios["enlarged at once"] == pytest.approx(1, abs=0.06)
    assert ratios["enlarged by windows that walk together"] < 1.15
    assert ratios["drawn by windows that walk together"] < 1.25
    for way in ("by pigdm", "by a gradient"):
        apart = ratios[f"{way}, by windows that walk together"] / ratios[f"{way} at once"]
        assert 0.9 < apart < 1.25
    assert ratios["enlarged by pieces side by side"] > 1.4, "what seams would be"
    assert ratios["drawn by pieces side by side"] > 4


@pytest.mark.parametrize("law", ["normal", "mixture"])
def test_posteriors_are_those_of_weighted_rows(scripts: SimpleNamespace, law: str) -> None:
    """Moments of the posterior of y, beside those of rows of the data weighted by p(y | x)."""
    made = scripts.posterior.Problem.of(law, 1)
    x = made.data.drawn(400_000, 1)[:, 0]
    noise = 0.6  # with less few rows have any weight
    fits = (made.y[0] - x @ made.matrix.T).square().sum(1) / (2 * noise**2)
    weights = (-fits).softmax(0)
    posterior = made.data.given(made.matrix, made.y, noise)
    mean, covariance = (part[0] for part in posterior.moments())
    spread = covariance.diag().sqrt()
    assert float(((weights @ x - mean) / spread).abs().max()) < 0.05
    apart = x - weights @ x
    own = (weights[:, None] * apart).T @ apart
    assert float((own - covariance).norm() / covariance.norm()) < 0.08


def test_exact_samples_have_the_scores_of_exact_samples(scripts: SimpleNamespace) -> None:
    made = scripts.posterior.Problem.of("mixture", 3)
    found = made.scores(made.posterior.drawn(2000, 4))
    assert found["mean"] < 0.06
    assert found["covariance"] < 0.15
    assert found["deviation"] == pytest.approx(1, abs=0.05)
    assert found["coverage"] == pytest.approx(0.9, abs=0.02)
    assert found["crps"] == pytest.approx(0, abs=0.02)
    off = made.scores(made.posterior.drawn(2000, 4) * 1.5)
    assert off["crps"] > 0.05
    assert off["deviation"] == pytest.approx(1.5, abs=0.1)


def test_moment_matching_has_the_scores_of_the_exact_denoiser(scripts: SimpleNamespace) -> None:
    made = scripts.posterior.Problem.of("normal", 2)
    ours, exact = (made.scores(made.samples(name, 12, 40)) for name in ("mmps", "exact"))
    assert ours == pytest.approx(exact, abs=1e-4)
    other = made.scores(made.samples("ddnm", 12, 40))
    assert other["mean"] != pytest.approx(exact["mean"], abs=1e-2)


def test_autoguidance_knows_samples_from_outliers(scripts: SimpleNamespace) -> None:
    law = Mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), torch.ones(2).double())
    data, least = scripts.autoguidance.drawn(law, 4000, 0), scripts.autoguidance.rare(law)
    other = scripts.autoguidance.drawn(law, 4000, 1)
    same = scripts.autoguidance.measured(law, other, data, least)
    far = scripts.autoguidance.measured(law, 5 + data, data, least)
    assert same["outliers"] < 0.004
    assert abs(same["energy"]) < 0.01
    assert far["outliers"] > 0.9
    assert far["energy"] > 1
