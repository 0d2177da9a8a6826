"""Upscaling: results agree with inputs, depend on their seed, and are named before any work."""

import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from runs import Outcome, contents, ddpm, replayed, train
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

import ddpm_cli
from ddpm_cli import console, hardware
from ddpm_cli.data.degradations import blur, degrade, shrink
from ddpm_cli.data.sets import images
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.files.images.pixels import (
    encode_png,
    from_uint8,
    measure,
    open_image,
    read_metadata,
    to_uint8,
)
from ddpm_cli.models import memory

TASK = ("--set", "task={name='upscale', noise=0.4}")
LEVEL = 1  # see test_sample


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 8x8 images that was trained to enlarge."""
    folder = tmp_path_factory.mktemp("runs") / "sr"
    done = train(data, folder, *TASK)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def painted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unconditional model of 8x8 images in colours."""
    root = tmp_path_factory.mktemp("colours")
    pixels = images.mnist("train", path=str(data))[torch.arange(48)][0]
    (root / "images").mkdir()
    for number, image in enumerate(pixels):
        tinted = (image * torch.tensor([1.0, 0.6, 0.2]).reshape(3, 1, 1)).to(torch.uint8)
        (root / "images" / f"{number}.png").write_bytes(encode_png(tinted))
    source = f"data={{name='folder', path='{root}/images', labels='none', holdout=0.1}}"
    done = train(data, root / "run", "--set", source, "--set", "network.classes=0")
    assert done.code == 0, done.err
    return root / "run"


@pytest.fixture
def small(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three images 4x4, which is also where commands run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "small"
    folder.mkdir()
    x = from_uint8(images.mnist("test", path=str(data))[torch.arange(3)][0])
    low = to_uint8(degrade(x, 2, "none", Rng(range(3))))
    for name, image in zip("abc", low, strict=True):
        (folder / f"{name}.png").write_bytes(encode_png(image))
    return folder


def upscale(*words: object) -> Outcome:
    outcome = ddpm("upscale", "--dtype", "float32", *words)
    assert outcome.code == 0, outcome.err
    return outcome


def refusal(*words: object, code: int = 1) -> str:
    outcome = ddpm("upscale", *words)
    assert outcome.code == code, outcome.err
    (line, *_) = [line for line in outcome.err.splitlines() if line.startswith("Error:")]
    return line


def lines(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def pixels(place: str | Path) -> Tensor:
    return open_image(place, "L")


def apart(first: str | Path, second: str | Path) -> int:
    return int((pixels(first).int() - pixels(second).int()).abs().max())


class TestAgreement:
    def test_zero_shot_results_shrink_to_their_inputs(self, small: Path, finished: Path) -> None:
        told = lines(upscale(small, "-m", finished, "-n", 2, "-o", "out", "--json"))
        assert [Path(line["path"]).name for line in told] == [
            f"{name}-{seed:06d}.png" for name in "abc" for seed in (0, 1)
        ]
        for line in told:
            low = from_uint8(pixels(line["input"])).double()
            again = shrink(from_uint8(pixels(line["path"]))[None].double(), 2)[0].clamp(-1, 1)
            error = float((again - low).abs().max()) * 127.5
            assert error <= 1.5
            assert line["error"] <= round(error, 3)

    def test_consistent_makes_a_trained_model_agree(self, small: Path, trained: Path) -> None:
        plain = lines(upscale(small, "-m", trained, "-o", "plain", "--json"))
        exact = lines(upscale(small, "-m", trained, "-o", "exact", "--json", "--consistent"))
        assert min(line["error"] for line in plain) > 5
        assert max(line["error"] for line in exact) <= 1.5

    @pytest.mark.parametrize("sampler", ["heun", "euler-maruyama", "dpm-solver-multi", "ode"])
    def test_any_sampler_agrees(self, small: Path, finished: Path, sampler: str) -> None:
        words = ("--sampler", sampler, "--set", "levels.count=3", "--json")
        words += ("--set", "sampler.rtol=0.1") if sampler == "ode" else ()
        told = lines(upscale(small / "a.png", "-m", finished, "-o", f"{sampler}.png", *words))
        assert told[0]["error"] <= 1.5

    def test_time_travel_is_the_jumps_edit(self, small: Path, finished: Path) -> None:
        jumps = 'edits=[{name="jumps", lengths=[2], visits=[2]}]'
        outcome = upscale(small / "a.png", "-m", finished, "-o", "x.png", "--set", jumps, "--json")
        assert lines(outcome)[0]["error"] <= 1.5
        assert "8 steps, 6 network calls" in outcome.err

    def test_deblur_keeps_the_size(self, small: Path, finished: Path, data: Path) -> None:
        sharp = images.mnist("test", path=str(data))[torch.arange(1)][0]
        soft = to_uint8(blur(from_uint8(sharp), torch.tensor([0.6])))
        Path("x.png").write_bytes(encode_png(soft[0]))
        words = ("-m", finished, "--task", "deblur", "--set", "operator.sigma=0.6", "--json")
        told = lines(upscale("x.png", *words))
        assert told[0]["path"] == "deblurred.png"
        assert pixels("deblurred.png").shape == (1, 8, 8)
        assert told[0]["error"] <= 1.5
        Path("x.png").write_bytes(encode_png(sharp[0]))
        outcome = upscale("x.png", *words, "--force")
        assert lines(outcome)[0]["error"] > 10
        assert "Warning: x.png: no image is just this when blurred again" in outcome.err


class TestSeeds:
    def test_result_is_the_same_alone_and_in_any_batch(self, small: Path, trained: Path) -> None:
        upscale(small, "-m", trained, "-n", 3, "-o", "all", "--aug-noise", 0.3)
        upscale(small, "-m", trained, "-n", 3, "-o", "two", "--aug-noise", 0.3, "-b", 2)
        upscale(small / "b.png", "-m", trained, "-s", 2, "-o", "one.png", "--aug-noise", 0.3)
        for name in contents(Path("all")):
            assert apart(f"all/{name}", f"two/{name}") <= LEVEL
        assert apart("one.png", "all/b-000002.png") <= LEVEL
        assert apart("all/b-000000.png", "all/b-000001.png") > 5 * LEVEL

    def test_lost_transparency_is_said(self, small: Path, trained: Path) -> None:
        grey = open_image(small / "a.png", "L")
        clear = torch.cat([grey, torch.full_like(grey, 100)])
        (small / "clear.png").write_bytes(encode_png(clear))
        (small / "opaque.png").write_bytes(
            encode_png(torch.cat([grey, torch.full_like(grey, 255)]))
        )
        words = ("--steps", 2, "-m", trained, "--background", "black")
        told = upscale(small / "clear.png", *words, "-o", "x.png").err
        assert "clear.png: comes back opaque, on black" in told
        assert "comes back" not in upscale(small / "opaque.png", *words, "-o", "y.png").err

    def test_replayed_command_gives_the_same_bytes(self, small: Path, trained: Path) -> None:
        upscale(small / "c.png", "-m", trained, "-s", 5, "-o", "x.png", "--aug-noise", 0.2,
                "--class", 3, "--consistent")  # fmt: skip
        first = Path("x.png").read_bytes()
        command = replayed("x.png")
        assert ddpm(*command, "--force").code == 0
        assert Path("x.png").read_bytes() == first

    def test_sweep_gives_one_result_for_each_level(self, small: Path, trained: Path) -> None:
        words = ("-m", trained, "-o", "sweep", "--aug-noise", "0:0.4:0.2", "--json")
        told = lines(upscale(small / "a.png", *words))
        assert [line["noise"] for line in told] == [0, 0.2, 0.4]
        assert [Path(line["path"]).name for line in told] == [
            "a-noise0.png", "a-noise0.2.png", "a-noise0.4.png"
        ]  # fmt: skip
        assert all(line["input"] == str(small / "a.png") for line in told)
        upscale(small / "a.png", "-m", trained, "-o", "x.png", "--aug-noise", 0.2)
        assert apart("x.png", "sweep/a-noise0.2.png") <= LEVEL
        assert apart("sweep/a-noise0.png", "sweep/a-noise0.4.png") > LEVEL


class TestClasses:
    def test_class_of_a_sample_is_carried_in_its_file(
        self, small: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labelled = encode_png(pixels(small / "a.png"), {"classes": ["7"]})
        Path("seven.png").write_bytes(labelled)
        told = lines(upscale("seven.png", "-m", trained, "-o", "carried.png", "--json"))
        assert told[0]["class"] == "7"
        upscale(small / "a.png", "-m", trained, "-o", "asked.png", "--class", 7)
        assert apart("carried.png", "asked.png") == 0
        told = lines(
            upscale("seven.png", "-m", trained, "-o", "no.png", "--json", "--class", "none")
        )
        assert told[0]["class"] == "none"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(labelled)))
        made = upscale("-", "-m", trained, "-o", "-")
        assert torch.equal(open_image(io.BytesIO(made.binary), "L"), pixels("carried.png"))
        record = read_metadata(io.BytesIO(made.binary))
        assert (record["classes"], record["stage"], record["inputs"]) == (["7"], 1, ["-"])

    def test_unknown_class_is_refused(self, small: Path, trained: Path) -> None:
        assert "no class is named '12'" in refusal(small, "-m", trained, "--class", "12", code=2)


class TestInputs:
    def test_wrong_size_names_both_and_the_fix(self, small: Path, trained: Path) -> None:
        Path("x.png").write_bytes(encode_png(torch.zeros(1, 6, 3, dtype=torch.uint8)))
        outcome = ddpm("upscale", "x.png", "-m", trained)
        assert outcome.code == 1
        assert "x.png: 3x6 pixels, the model takes 4x4" in outcome.err
        assert "--fit" in outcome.err
        upscale("x.png", "-m", trained, "--fit", "resize", "-o", "y.png")
        assert pixels("y.png").shape == (1, 8, 8)

    def test_larger_inputs_are_made_by_windows(self, small: Path, trained: Path) -> None:
        wide = torch.randint(90, 160, (1, 4, 9), generator=torch.Generator().manual_seed(0))
        Path("wide.png").write_bytes(encode_png(wide.to(torch.uint8)))
        words = ("-m", trained, "--consistent", "--json")
        outcome = upscale(small / "a.png", "wide.png", small / "b.png", "-o", "out", *words)
        assert "wide.png: 9x4 pixels, trained on 4x4: 18x8 by 4 windows" in outcome.err
        assert pixels("out/wide.png").shape == (1, 8, 18)
        assert max(line["error"] for line in lines(outcome)) <= 1.5
        upscale("wide.png", "-o", "alone.png", *words)
        assert apart("alone.png", "out/wide.png") <= LEVEL
        upscale("wide.png", "-o", "next.png", "-s", 1, *words)
        assert apart("alone.png", "next.png") > 5 * LEVEL

    @pytest.mark.parametrize(
        ("batch", "rows"), [(1, [1] * 9), (4, [4, 4, 1]), (8, [8, 1]), (64, [9])]
    )
    def test_the_network_sees_no_more_windows_at_once_than_the_batch(
        self,
        small: Path,
        trained: Path,
        monkeypatch: pytest.MonkeyPatch,
        batch: int,
        rows: list[int],
    ) -> None:
        large = torch.randint(90, 160, (1, 8, 8), generator=torch.Generator().manual_seed(0))
        Path("x.png").write_bytes(encode_png(large.to(torch.uint8)))
        words = ("x.png", "-m", trained, "--dtype", "float32", "--steps", 2)
        upscale(*words, "-o", "usual.png")
        seen = list[int]()
        monkeypatch.setattr(
            console.Progress,
            "advance",
            lambda _, count=1, note="": seen.extend([count] * (count > 0)),
        )
        upscale(*words, "-o", "y.png", "--batch", batch)
        assert seen == rows * 2, "in each of two steps"
        assert apart("usual.png", "y.png") <= LEVEL
        seen.clear()
        upscale(*words, "-o", "two/", "-n", 2, "--batch", batch)
        assert (max(seen), sum(seen)) == (min(batch, 18), 2 * 2 * 9)

    @pytest.mark.parametrize(("batch", "rows"), [(1, 1), (8, 8), (64, 9)])
    def test_python_bounds_windows_as_well(self, trained: Path, batch: int, rows: int) -> None:
        seen = list[int]()

        def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            if isinstance(module, nn.Conv2d):
                seen.append(len(given[0]))

        handle = register_module_forward_pre_hook(note)
        try:
            ddpm_cli.load(str(trained)).upscale(torch.zeros(1, 1, 8, 8), batch=batch)
        finally:
            handle.remove()
        assert max(seen) == rows

    def test_windows_that_do_not_fit_into_memory_are_refused(
        self, small: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("x.png").write_bytes(encode_png(torch.zeros(1, 8, 8, dtype=torch.uint8)))
        monkeypatch.setattr(memory, "LARGE", 9 * 64)
        monkeypatch.setattr(hardware, "free_memory", lambda _: 1)
        words = ("x.png", "-m", trained, "-o", "y.png")
        assert "--batch 9: needs about " in refusal(*words)
        assert "--batch 9: needs about " in refusal(*words, "--batch", 9)
        assert not Path("y.png").exists()
        assert ddpm("upscale", *words, "--batch", 8).code == 0, "too few to be looked at"

    def test_more_windows_than_anyone_waits_for_are_refused(
        self, small: Path, trained: Path
    ) -> None:
        Path("huge.png").write_bytes(encode_png(torch.zeros(1, 900, 900, dtype=torch.uint8)))
        outcome = ddpm("upscale", "huge.png", "-m", trained)
        assert outcome.code == 1
        assert "huge.png: 201601 windows for 1800x1800 pixels; at most 10000" in outcome.err
        assert "--downscale" in outcome.err

    def test_downscale_shrinks_to_what_the_model_takes(self, small: Path, trained: Path) -> None:
        large = torch.randint(0, 256, (3, 8, 16), generator=torch.Generator().manual_seed(0))
        Path("x.png").write_bytes(encode_png(large.to(torch.uint8)))
        low = to_uint8(shrink(from_uint8(open_image("x.png", "L"))[None], 2))[0]
        Path("low.png").write_bytes(encode_png(low))
        upscale("x.png", "--downscale", "-m", trained, "-o", "y.png")
        upscale("low.png", "-m", trained, "-o", "z.png")
        assert open_image("y.png", "RGB").shape == (3, 8, 16)
        assert apart("y.png", "z.png") <= 2 * LEVEL
        upscale(small / "a.png", "--downscale", "-m", trained, "-o", "same.png")
        upscale(small / "a.png", "-m", trained, "-o", "plain.png")
        assert apart("same.png", "plain.png") == 0
        words = ("-m", trained, "--downscale")
        assert "--fit pad says" in refusal("x.png", *words, "--fit", "pad", code=2)
        assert "--downscale" in refusal("x.png", *words, "--task", "deblur", code=2)

    def test_padding_is_taken_off_again(self, small: Path, trained: Path) -> None:
        part = pixels(small / "a.png")[:, :3, :1].expand(3, -1, -1).contiguous()
        Path("x.png").write_bytes(encode_png(part))
        upscale("x.png", "-m", trained, "--fit", "pad", "--consistent", "-o", "y.png",
                "--background", "black")  # fmt: skip
        made = open_image("y.png", "RGB")
        assert made.shape == (3, 6, 2)
        again = made.float().reshape(3, 3, 2, 1, 2).mean((2, 4))
        assert float((again - part).abs().max()) < 60

    def test_one_bad_input_fails_alone(self, small: Path, trained: Path) -> None:
        (small / "b.png").write_bytes(b"no image")
        outcome = ddpm("upscale", small, "-m", trained, "-o", "out")
        assert outcome.code == 3
        assert sorted(contents(Path("out"))) == ["a.png", "c.png"]

    def test_existing_files_are_left_out_or_refused(self, small: Path, trained: Path) -> None:
        upscale(small, "-m", trained, "-o", "out")
        (Path("out") / "b.png").unlink()
        assert "exists already" in refusal(small, "-m", trained, "-o", "out")
        made = upscale(small, "-m", trained, "-o", "out", "--skip-existing")
        assert made.out == "out/b.png\n"


class TestModels:
    def test_auto_takes_the_newest_run_that_was_trained_to_upscale(
        self, small: Path, trained: Path, finished: Path
    ) -> None:
        Path("runs").mkdir()
        Path("runs/sr").symlink_to(trained)
        Path("runs/base").symlink_to(finished)
        outcome = upscale(small / "a.png", "-o", "x.png")
        assert "model: runs/sr" in outcome.err
        assert "by a trained model" in outcome.err
        outcome = upscale(small / "a.png", "-o", "y.png", "--method", "zero-shot")
        assert "model: runs/base" in outcome.err
        assert "by data consistency" in outcome.err

    def test_models_that_do_not_fit_are_refused_in_one_line(
        self, small: Path, trained: Path, finished: Path, data: Path, tmp_path: Path
    ) -> None:
        inpaint = tmp_path / "inpaint"
        assert train(data, inpaint, "--set", "task.name=inpaint").code == 0
        assert "trained to inpaint, not to upscale" in refusal(small, "-m", inpaint)
        assert "takes an unconditional" in refusal(small, "-m", trained, "--method", "zero-shot")
        assert "--task deblur" in refusal(small, "-m", trained, "--task", "deblur")
        assert "not trained to upscale" in refusal(
            small, "-m", finished, "--method", "model", code=2
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--factor", "4"], "trained for 2"),
            (["--set", "operator.filter=area"], "operator.filter: 'area' asked for"),
            (["--set", "operator.name=deblur"], "--task deblur"),
            (["--aug-noise", "0.5"], "trained with up to 0.4"),
            (["--aug-noise", "0.4:0:0.1"], "levels rise"),
            (["--aug-noise", "x"], "first:last:step"),
            (["--aug-noise", "0:1:1e-9"], "at most 100"),
            (["--method", "model", "--task", "colorize"], "leave --task out"),
            (["--set", "task.factor=4.0"], "task.factor"),
        ],
    )
    def test_settings_that_do_not_fit_are_refused(
        self, small: Path, trained: Path, words: list[str], said: str
    ) -> None:
        assert said in refusal(small, "-m", trained, "-o", "out", *words, code=2)
        assert not Path("out").exists()

    def test_colours_need_a_model_of_colours(self, small: Path, finished: Path) -> None:
        said = refusal(small, "-m", finished, "--task", "colorize", code=2)
        assert "1 channels" in said

    def test_noise_is_for_trained_models(self, small: Path, finished: Path) -> None:
        assert "only for a model" in refusal(small, "-m", finished, "--aug-noise", 0.1, code=2)

    def test_dry_run_prints_the_operator_and_writes_nothing(
        self, small: Path, finished: Path
    ) -> None:
        outcome = upscale(small, "-m", finished, "--dry-run", "--factor", 4, "-n", 3)
        assert "factor = 4.0" in outcome.out
        said = "9 images by 81 windows, 4 steps, 4 network calls a window"
        assert f"upscale by data consistency: {said}" in outcome.err
        assert sorted(p.name for p in Path().iterdir()) == ["small"]


class TestColours:
    def test_coloured_image_is_the_input_in_grey(self, small: Path, painted: Path) -> None:
        grey = torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(1))
        Path("grey.png").write_bytes(encode_png(grey.to(torch.uint8)))
        told = lines(upscale("grey.png", "-m", painted, "--task", "colorize", "--json"))
        assert told[0]["path"] == "colorized.png"
        assert told[0]["error"] <= 1
        made = open_image("colorized.png", "RGB")
        assert int((open_image("colorized.png", "L").int() - grey.int()).abs().max()) <= 1
        assert int(made.amax(0).int().sub(made.amin(0).int()).max()) > 10, "no colours"

    def test_colours_are_enlarged_and_grey_stays_grey(self, small: Path, painted: Path) -> None:
        told = lines(upscale(small / "a.png", "-m", painted, "-o", "a.png", "--json"))
        assert told[0]["error"] <= 1.5
        assert told[0]["class"] is None
        assert measure("a.png")[2] == "L"
        tinted = torch.randint(90, 160, (3, 4, 4), generator=torch.Generator().manual_seed(1))
        Path("c.png").write_bytes(encode_png(tinted.to(torch.uint8)))
        upscale("c.png", "-m", painted, "-o", "large.png")
        again = shrink(from_uint8(open_image("large.png")).double()[None], 2)[0]
        assert float((again * 127.5 + 127.5 - tinted).abs().max()) <= 1.5

    def test_a_grey_model_makes_each_plane_by_itself(self, small: Path, trained: Path) -> None:
        """Each is what the model makes of that plane alone, in windows too."""
        tinted = torch.randint(0, 256, (3, 4, 6), generator=torch.Generator().manual_seed(2))
        tinted = tinted.to(torch.uint8)
        Path("c.png").write_bytes(encode_png(tinted))
        (told,) = lines(
            upscale("c.png", "-m", trained, "--channels", "each", "--steps", 2, "--json")
        )
        made = open_image(told["path"], "RGB")
        calls = 0
        for number, plane in enumerate(tinted):
            Path(f"{number}.png").write_bytes(encode_png(plane[None]))
            words = (f"{number}.png", "-m", trained, "--steps", 2, "--json", "-o", "p.png")
            (alone,) = lines(upscale(*words, "--force"))
            calls += alone["calls"]
            apart = open_image("p.png", "L")[0].int() - made[number].int()
            assert int(apart.abs().max()) <= LEVEL
        assert told["calls"] == calls
        replayed = shlex.split(runs.done("info", told["path"], "--command").out)[1:]
        assert "each" in replayed
        assert runs.ddpm(*replayed, "-o", "again.png").code == 0
        assert torch.equal(open_image("again.png", "RGB"), made)

    def test_colours_that_a_grey_model_does_not_see_are_said(
        self, small: Path, trained: Path
    ) -> None:
        Path("c.png").write_bytes(encode_png(torch.arange(48).reshape(3, 4, 4).to(torch.uint8)))
        words = ("c.png", "-m", trained, "--steps", 1, "-o", "x.png", "--force")
        assert "--channels each makes red, green and blue" in upscale(*words).err
        assert "in colour" not in upscale(*words, "--channels", "grey").err
        assert "in colour" not in upscale(*words, "--channels", "each").err

    def test_a_model_in_colour_has_no_planes_by_themselves(
        self, small: Path, painted: Path
    ) -> None:
        done = ddpm("upscale", small / "a.png", "-m", painted, "--channels", "each")
        assert done.code == 2
        assert "--channels each: of a grey model, and this one makes colours; leave it" in done.err


def test_samples_take_no_operator(finished: Path, small: Path) -> None:
    outcome = ddpm("sample", "-m", finished, "--set", "operator.name=upscale", "-o", "x.png")
    assert (outcome.code, "operator" in outcome.err) == (2, True)
