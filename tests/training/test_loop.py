"""The loop learns, reports what it does, and stops when numbers stop being numbers."""

import json
import math
from pathlib import Path

import pytest
import runs
import torch
from runs import ddpm, train

from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.training.batches import Share, order, prepare
from ddpm_cli.training.window import Window


class TestLearning:
    def test_the_loss_falls_and_the_average_follows(self, data: Path, tmp_path: Path) -> None:
        words = ["--steps", 80, "--lr", 0.01, "--set", "train.save_every=1000"]
        words += ["--set", "train.log_every=20", "--set", "train.measure_every=20"]
        outcome = train(data, tmp_path / "run", *words, "--json")
        assert outcome.code == 0, outcome.err
        lines = [json.loads(line) for line in outcome.out.splitlines()[:-1]]
        assert [line["step"] for line in lines] == [20, 40, 60, 80]
        for key in ("loss", "held_out"):
            found = [line[key] for line in lines]
            assert found == sorted(found, reverse=True)
            assert found[-1] < 0.9 * found[0]
        last = json.loads(outcome.out.splitlines()[-1])
        assert last == {"path": str(tmp_path / "run" / "model.safetensors")}

    def test_the_last_lines_say_what_to_type(self, data: Path, tmp_path: Path) -> None:
        outcome = train(data, tmp_path / "run", "--steps", 2)
        *_, last = outcome.err.splitlines()
        assert last == f"try: ddpm sample -m {tmp_path / 'run'} -n 64 -o run.png"
        words = last.split()[2:]
        assert ddpm(*words[:-1], tmp_path / "run.png").code == 0

    def test_what_a_run_leaves(self, finished: Path) -> None:
        assert sorted(runs.contents(finished)) == [
            "config.toml", "metrics.jsonl", "model.safetensors",
            "samples/step-0000012.png", "state.previous.safetensors", "state.safetensors",
        ]  # fmt: skip
        assert [line["step"] for line in runs.metrics(finished)] == [5, 10, 12]

    def test_state_and_model_share_the_average(self, finished: Path) -> None:
        found = runs.result(finished)
        for name, tensor in found.model.items():
            assert torch.equal(found.state[f"average.{name}"], tensor)


class TestNotFinite:
    @pytest.mark.parametrize("lr", ["1e4", "1e30"])
    @pytest.mark.parametrize("save_every", [1, 50])
    def test_an_absurd_learning_rate_stops_the_run(
        self, lr: str, save_every: int, data: Path, tmp_path: Path
    ) -> None:
        words = ["--lr", lr, "--steps", 60, "--set", "train.log_every=50"]
        outcome = train(data, tmp_path / "run", *words, "--set", f"train.save_every={save_every}")
        assert outcome.code == 1
        first = next(line for line in outcome.err.splitlines() if line.startswith("Error: "))
        assert "non-finite" in first
        assert "step " in first
        assert "Traceback" not in outcome.err
        for path in (tmp_path / "run").glob("*.safetensors"):
            checkpoint.load(path)  # refuses what is not finite

    def test_the_last_good_checkpoint_stays(self, data: Path, run: Path) -> None:
        header, tensors = checkpoint.load(run / "state.safetensors")
        tensors["window"][0] = 1e308
        tensors["weights.out.weight"] *= 1e30  # finite, but no loss of it will be
        checkpoint.save(run / "state.safetensors", tensors, header._replace(step=11))
        outcome = train(data, run)
        assert outcome.code == 1
        assert "non-finite" in outcome.err
        assert checkpoint.load(run / "state.safetensors")[0].step == 11

    def test_windows_notice_one_value(self) -> None:
        for value in (float("nan"), float("inf")):
            window = Window(torch.device("cpu"))
            window.add(torch.tensor([0.1, 0.9]), torch.tensor([1.0, value]), torch.tensor(1.0))
            assert not window.finite()


class TestOrder:
    @pytest.mark.parametrize("batch", [1, 4, 7, 10, 23])
    def test_each_epoch_is_a_permutation(self, batch: int) -> None:
        steps = math.ceil(3 * 10 / batch)
        seen = torch.cat([order(10, 0, step, batch) for step in range(steps)])[:30].reshape(3, 10)
        assert (seen.sort(dim=1).values == torch.arange(10)).all()
        assert not torch.equal(seen[0], seen[1])

    def test_shares_make_up_the_batch(self) -> None:
        whole = order(10, 0, 3, 8)
        parts = [whole[Share(rank, 4).of(8)] for rank in range(4)]
        assert torch.equal(torch.cat(parts), whole)

    def test_preparing(self) -> None:
        class Chances:
            def uniform(self, n: int, device: torch.device) -> torch.Tensor:
                return torch.tensor([[0.4, 0.05], [0.6, 0.5]])

        pixels = torch.tensor([[[[0, 255]]], [[[0, 255]]]], dtype=torch.uint8)
        told, null = {"classes": torch.tensor([3, 4])}, {"classes": torch.tensor(10)}
        x0, conditions = prepare(
            pixels, told, Chances(), null, flip=True, drop={"classes": 0.1}  # type: ignore[arg-type]
        )  # fmt: skip
        assert x0.flatten().tolist() == [1, -1, -1, 1]
        assert {kind: values.tolist() for kind, values in conditions.items()} == {
            "classes": [10, 4]
        }
        assert told["classes"].tolist() == [3, 4]


class TestBadValues:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--batch", "0"], "--batch"),
            (["--batch", "many"], "--batch"),
            (["--steps", "0"], "--steps"),
            (["--lr", "nan"], "'--lr': 'nan' is no number"),
            (["--lr", "inf"], "'--lr': inf is not in the range 0<x<=1e+30"),
            (["--lr", "-1"], "'--lr': -1.0 is not in the range 0<x<=1e+30"),
            (["--set", "train.beta2=1.0"], "train.beta2: 1.0 does not fit"),
            (["--lr", "fast"], "--lr"),
            (["--minutes", "-1"], "--minutes"),
            (["--seed", "-1"], "--seed"),
            (["--seed", str(2**32)], "--seed"),
            (["--preset", "tyni"], "did you mean tiny?"),
            (["--set", "train.stesp=1"], "did you mean steps?"),
            (["--set", "train"], "no value; write table.key=value"),
            (["--set", "train.steps=x"], "train.steps: 'x' does not fit"),
            (["--set", "train.__class__=x"], "train.__class__: unknown key"),
            (["--set", "network.name=os.system"], "no network is named 'os.system'"),
            (["--set", "train.ema=1.5"], "train.ema: 1.5 does not fit"),
            (["--set", "network.classes=4"], "network.classes: 4 asked for, but the data has 10"),
            (["--device", "gpu"], "no device is named 'gpu'"),
            (["--dtype", "float8"], "compute.dtype: 'float8' does not fit"),
            (["--dtype", "float16"], "compute.dtype: float16 is a format of weights to sample"),
        ],
    )
    def test_are_refused(self, words: list[str], message: str, data: Path, tmp_path: Path) -> None:
        outcome = train(data, tmp_path / "run", *words)
        assert outcome.code == 2, outcome
        assert message in outcome.err
        assert outcome.err.splitlines()[0].startswith("Error: ") or "data:" in outcome.err
        assert runs.contents(tmp_path / "run") == {}

    @pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
    @pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
    def test_an_absent_device(self, device: str, data: Path, tmp_path: Path) -> None:
        outcome = train(data, tmp_path / "run", "--device", device)
        assert outcome.code == 1
        assert f"Error: compute.device: {device} is not there" in outcome.err
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["-n", "0"], "--count"),
            (["-n", "few"], "--count"),
            (["--batch", "0"], "--batch"),
            (["--steps", "0"], "--steps"),
            (["--calls", "0"], "--calls"),
            (["--sampler", "dimm"], "ddim"),
            (["--set", "sampler.eta=-1"], "sampler.eta: -1 does not fit"),
            (["--set", "sampler.eta=nan"], "sampler.eta: nan does not fit"),
            (["--set", "sampler.eta=1e9"], "sampler.eta: 1000000000.0 does not fit"),
            (["--set", "sampler.eta=100"], "sampler.eta: 100 asks for more noise"),
            (["--seeds", "3-1"], "--seeds"),
            (["--seeds", "1,1"], "--seeds"),
            (["--seeds", "1.5"], "--seeds"),
            (["--set", "levels.name=karas"], "did you mean karras?"),
            (["--device", "tpu"], "no device is named 'tpu'"),
        ],
    )
    def test_of_sampling(
        self, words: list[str], message: str, finished: Path, tmp_path: Path
    ) -> None:
        outcome = ddpm("sample", "-m", finished, *words, "-o", tmp_path / "a.png")
        assert outcome.code == 2, outcome
        assert message in outcome.err
        assert "Traceback" not in outcome.err
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("schedule={name='vp'}", "loss.name='vlb'"), "loss.vlb: the bound needs a discrete"),
        (("loss.name='hybrid'",), "loss.hybrid: variance learned needs network.learned_variance"),
        (
            ("schedule={name='vp'}", "draw.name='loss-second-moment'"),
            "draw.loss-second-moment: a discrete schedule is needed",
        ),
        (("schedule={name='vp'}", "parameterization.name='mu'"), "mu needs a discrete schedule"),
        (("loss.name='exact'",), "loss.exact: one backward pass for each of 64 dimensions"),
        (("schedule={name='geometric', steps=3}",), "levels.trailing: 4 steps asked for"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_any_work(
    words: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    chosen = [word for setting in words for word in ("--set", setting)]
    outcome = train(data, tmp_path / "run", *chosen)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert runs.contents(tmp_path / "run") == {}
