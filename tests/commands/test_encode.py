"""`ddpm encode`, and `ddpm sample` from latents and from noised images."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import PLAIN, Outcome, apart, ddpm, done, flip_bit, replayed
from safetensors.torch import load_file
from torch import Tensor

from ddpm_cli.diffusion.rng import PHILOX
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import checkpoint, latents
from ddpm_cli.files.images.inputs import Input
from ddpm_cli.files.images.pixels import encode_png, open_image, read_metadata
from ddpm_cli.models import build, walks
from ddpm_cli.pipelines import encode as encoding
from ddpm_cli.pipelines import inversion
from ddpm_cli.settings import presets
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.usual import CODING

pytestmark = [pytest.mark.small, pytest.mark.usefixtures("abc")]


def encode(*words: object) -> Outcome:
    return done("encode", *words, *PLAIN)


def pixels(*words: object) -> Tensor:
    """What ddpm sample makes, uint8 [N, C, H, W]."""
    done("sample", *words, "--force", "-o", "pixels.npy")
    return torch.from_numpy(np.load("pixels.npy"))


def inputs(names: str) -> Tensor:
    return torch.stack([open_image(f"{name}.png", "L") for name in names])


class TestRoundTrip:
    def test_images_come_back(self) -> None:
        """The tiny network is all but noise itself, the way back is exact all the same."""
        lines = encode("a.png", "b.png", "c.png", "--steps", 24, "--json").out.splitlines()
        *rows, last = map(json.loads, lines)
        assert (last["path"], last["seed"]) == ("latents.safetensors", None)
        assert [row["input"] for row in rows] == ["a.png", "b.png", "c.png"]
        back = pixels("--from", "latents.safetensors")
        for row, image, given in zip(rows, back, inputs("abc"), strict=True):
            assert row["largest"] == apart(image, given)
            assert row["psnr"] > 30

    def test_psnr_rises_with_steps(self) -> None:
        found = []
        for count in (6, 12, 24):
            out = encode("a.png", "--steps", count, "--force").out
            found.append(float(re.findall(r"a\.png  ([0-9.]+) dB", out)[0]))
        assert found == sorted(found)
        assert found[2] > found[0] + 6

    @pytest.mark.parametrize(
        ("words", "fix"),
        [
            (("--sampler", "probability-flow", "--steps", 10), "--sampler heun --steps 50"),
            (("--sampler", "ddim", "--steps", 4), "--sampler heun --steps 50"),
            (("--levels", "karras", "--steps", 4), "--levels logsnr --steps 50"),
            (("--steps", 4), "--steps 50"),
        ],
    )
    def test_a_poor_way_back_is_warned_of(self, words: tuple[object, ...], fix: str) -> None:
        said = encode("a.png", *words).err
        assert f"Warning: the image comes back at less than 20 dB; {fix} does better" in said
        said = encode("a.png", *fix.split(), "--force").err
        assert "Warning" not in said
        assert "come back" not in encode("a.png", *words, "--fast", "--force").err

    def test_of_several_the_poor_are_counted(self, capsys: pytest.CaptureFixture[str]) -> None:
        config = resolve([*presets.layers("tiny"), CODING], begins=True)
        inversion.warn_of_images(config, [20.1, math.inf])
        inversion.warn_of_rows(config, [0.01])
        assert not capsys.readouterr().err
        inversion.warn_of_images(config, [20.1, 19.9, -3.0])
        inversion.warn_of_rows(config, [0.01, 2.5])
        more = "--steps 100 does better"
        assert capsys.readouterr().err.splitlines() == [
            f"Warning: 2 of 3 images come back at less than 20 dB; {more}",
            f"Warning: rows come back up to 2.5 deviations away; {more}",
        ]

    def test_what_pixels_cannot_show_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Values far beyond black and white are cut off: no pixel differs, and yet -17.4 dB."""
        z = torch.zeros(3, 1, 8, 8)
        pixels = torch.zeros(1, 8, 8, dtype=torch.uint8)
        images = [Input(n, n, pixels, pixels, (8, 8), "error", (0, 0, 0), {}) for n in "abc"]
        encoding._report(encoding.Encoded(z, [-17.4, 62.0, 40.0], [0, 0, 2]), images)
        first, second, third = capsys.readouterr().out.splitlines()
        cut = "once what is beyond black and white is cut off"
        assert first == f"a  -17.4 dB, all pixels equal {cut}"
        assert second == "b  62.0 dB, all pixels equal"
        assert third == "c  40.0 dB, pixels differ by up to 2"

    def test_alone_and_in_any_batch(self) -> None:
        encode("a.png", "b.png", "c.png", "--steps", 5, "--fast", "-o", "all.safetensors")
        encode("b.png", "--steps", 5, "--fast", "-o", "one.safetensors")
        whole = latents.load(Path("all.safetensors")).z
        alone = latents.load(Path("one.safetensors")).z
        assert torch.allclose(alone[0], whole[1], atol=1e-4)
        assert not torch.allclose(whole[0], whole[1], atol=0.1)

    def test_seeds_are_numbers_of_latents(self) -> None:
        encode("a.png", "b.png", "c.png", "--steps", 5, "--fast")
        whole = pixels("--from", "latents.safetensors")
        assert apart(pixels("--from", "latents.safetensors", "--seeds", "2,0"), whole[[2, 0]]) <= 1
        assert apart(pixels("--from", "latents.safetensors", "-s", 1, "-n", 2), whole[1:]) <= 1
        refused = ddpm("sample", "--from", "latents.safetensors", "--seeds", 3)
        assert (refused.code, "has latents 0 to 2" in refused.err) == (2, True)

    def test_more_steps_start_at_the_same_level(self) -> None:
        encode("a.png", "--steps", 6, "--fast")
        words = ("sample", "--from", "latents.safetensors", "--trajectory", "t.safetensors")
        for levels in ("levels.count=8", "levels={name='karras', count=5, high=40.0}"):
            done(*words, "--set", levels, "--force", "-o", "x.png")
            sigmas = load_file("t.safetensors")["sigmas"]
            assert sigmas[0] == latents.load(Path("latents.safetensors")).sigma
            assert bool((sigmas.diff() < 0).all())

    def test_the_class_is_the_null_class_and_is_kept(self) -> None:
        encode("a.png", "--steps", 5, "--fast", "-o", "none.safetensors")
        encode("a.png", "--steps", 5, "--fast", "--class", 3, "-o", "three.safetensors")
        none, three = (latents.load(Path(f"{n}.safetensors")) for n in ("none", "three"))
        assert (none.record["class"], three.record["class"]) == ("none", "3")
        assert not torch.allclose(none.z, three.z, atol=1e-3)
        done("sample", "--from", "three.safetensors", "-o", "x.png")
        assert read_metadata("x.png")["class"] == "3"
        done("sample", "--from", "three.safetensors", "--class", 1, "-o", "y.png")
        assert read_metadata("y.png")["class"] == "1"

    def test_nothing_is_clamped(self) -> None:
        """The model's own wrappers are, both ways."""
        encode("a.png", "--steps", 5, "--fast")
        assert latents.load(Path("latents.safetensors")).header.config["wrappers"] == []
        done("sample", "--from", "latents.safetensors", "-o", "x.png")
        assert read_metadata("x.png")["settings"]["wrappers"] == []
        assert read_metadata("x.png")["settings"]["sampler"]["name"] == "heun"


class TestForward:
    def test_is_the_closed_form_with_noise_of_the_seed(self) -> None:
        encode("a.png", "b.png", "--method", "forward", "--at", 400, "--seed", 3)
        found = latents.load(Path("latents.safetensors"))
        schedule = build.schedule(found.header.config)
        abar = float(schedule.alpha(found.sigma) ** 2)
        assert float(schedule.time(found.sigma)) == pytest.approx(0.4), "400 of 1000"
        for row, (name, seed) in enumerate([("a", 3), ("b", 4)]):
            x0 = inputs(name).double() / 127.5 - 1
            z = inversion.noise([seed], PHILOX).normal(x0)
            want = abar**0.5 * x0 + (1 - abar) ** 0.5 * z
            assert torch.allclose(found.z[row].double(), want[0], atol=1e-6), "Ho 2020, eq. 4"

    def test_is_decoded_by_the_models_own_sampler_from_there(self) -> None:
        encode("a.png", "--method", "forward", "--at", 400)
        said = done("sample", "--from", "latents.safetensors", "-o", "x.png").err
        assert "1 image, 2 steps" in said, "of 4 levels at 250, 500, 750 and 1000"
        assert read_metadata("x.png")["settings"]["wrappers"][0]["name"] == "clamp"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--method", "forward"], "--method forward: noise is added at once; say with --at"),
            (["--method", "forward", "--at", "3", "--steps", "4"], "leave out --steps"),
            (["--at", "3"], "--at: only with --method forward"),
            (["--method", "forward", "--at", "1001"], "--at 1001: 1001 is no step of this model"),
            (["--method", "forward", "--at", "two"], "--at 'two': this is no time"),
        ],
    )
    def test_wrong(self, words: list[str], message: str) -> None:
        outcome = ddpm("encode", "a.png", *words)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


@pytest.mark.parametrize(
    ("text", "index"), [("400", 399), ("40%", 399), ("0.01%", 0), ("100%", 999), ("1", 0)]
)
def test_at_counts_from_one(text: str, index: int) -> None:
    want = linear().sigma(torch.tensor((index + 1) / 1000).double())
    assert walks.level(text, linear()) == pytest.approx(float(want))


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--sampler", "ddpm"], "sampler.ddpm: adds noise, so that no image would come back"),
            (["--set", "sampler={name='ddim', eta=0.5}"], "sampler.ddim: adds noise"),
            (["--sampler", "dpm++2m-sde"], "sampler.dpm-solver-pp-multi: adds noise"),
            (["--set", "wrappers=[{name='clamp'}]"], "wrappers.clamp: no image would come back"),
            (["--set", "edits=[{name='churn'}]"], "edits: between images and latents"),
            (["--steps", "2"], "use --steps 3 or more"),
            (["--class", "nine"], "--class: no class is named 'nine'"),
            (["-o", "x.npz"], "latents go to a .safetensors file"),
            (["--set", "network.width=9"], "network.width: 9 asked for"),
        ],
    )
    def test_usage(self, words: list[str], message: str) -> None:
        outcome = ddpm("encode", "a.png", *words)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err
        assert not Path("latents.safetensors").exists()

    def test_every_deterministic_sampler_will_do(self) -> None:
        for name in ("ddim", "dpm-solver-2", "dpm++2s", "unipc"):
            encode("a.png", "--sampler", name, "--steps", 3, "--force")

    def test_inputs_that_fail_are_left_out(self) -> None:
        Path("bad.png").write_bytes(b"no image")
        outcome = ddpm("encode", "a.png", "bad.png", "b.png", "--steps", 4, *PLAIN)
        assert outcome.code == 3
        assert "Error: bad.png: a text file, no image" in outcome.err
        assert latents.load(Path("latents.safetensors")).names == ["a.png", "b.png"]

    def test_a_file_in_the_way(self) -> None:
        Path("latents.safetensors").write_bytes(b"mine")
        outcome = ddpm("encode", "a.png")
        assert (outcome.code, "exists already" in outcome.err) == (1, True)
        assert Path("latents.safetensors").read_bytes() == b"mine"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--init", "a.png"], "--init: needs --at"),
            (["--at", "40%"], "--at: needs --init"),
            (["--init", "a.png", "--from", "x.safetensors"], "--init: --from says already"),
            (["--init", ".", "--at", "40%"], "--init .: 3 images are in it; name one"),
        ],
    )
    def test_starts_that_make_no_sense(self, words: list[str], message: str) -> None:
        outcome = ddpm("sample", *words)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


class TestFiles:
    @pytest.fixture
    def path(self) -> Path:
        encode("a.png", "b.png", "--steps", 4, "--fast")
        return Path("latents.safetensors")

    def refused(self, path: object) -> str:
        outcome = ddpm("sample", "--from", path, "-o", "x.png")
        assert outcome.code == 1
        assert not Path("x.png").exists()
        return outcome.err

    def test_damage(self, path: Path) -> None:
        flip_bit(path, -5)
        assert "corrupt: its contents do not match their checksum" in self.refused(path)

    def test_no_latents(self, finished: Path) -> None:
        assert "no latents of images" in self.refused(finished / "model.safetensors")
        assert "which end in .safetensors" in self.refused("a.png")
        assert "No such file" in self.refused("none.safetensors")

    @pytest.mark.parametrize(
        "change",
        [
            {"sigma": 0.0},
            {"sigma": "much"},
            {"names": ["one"]},
            {"method": "magic"},
            {"hash": 5},
            {"class": 5},
        ],
    )
    def test_headers_that_do_not_fit(self, path: Path, change: dict[str, Any]) -> None:
        header, tensors = checkpoint.load(path)
        checkpoint.save(path, tensors, header._replace(fitted={**(header.fitted or {}), **change}))
        assert "corrupt: its latents do not fit their header" in self.refused(path)

    def test_values_that_are_not_finite(self, path: Path) -> None:
        header, tensors = checkpoint.load(path)
        tensors["latents"][1, 0, 2, 2] = float("nan")
        checkpoint.save(path, tensors, header)
        assert "latents has values that are not finite" in self.refused(path)

    def test_another_model_must_be_asked_for(self, path: Path, run: Path) -> None:
        """The record names the model by its path, where another one lies now."""
        header, weights = checkpoint.load(run / "model.safetensors")
        other = Path(shutil.copytree(run, "other"))
        checkpoint.save(other / "model.safetensors", weights, header._replace(step=99))
        fitted, tensors = checkpoint.load(path)
        facts = {**(fitted.fitted or {}), "model": "other"}
        checkpoint.save(path, tensors, fitted._replace(fitted=facts))
        assert "give -m MODEL to decode them all the same" in self.refused(path)
        outcome = done("sample", "--from", path, "-m", "other", "-o", "x.png")
        assert "Warning: latents.safetensors: latents of another model than other" in outcome.err

    def test_the_model_is_that_of_the_file_whatever_the_environment_says(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DDPM_MODEL", "mnist")
        outcome = done("sample", "--from", path, "-o", "x.png")
        assert "Warning" not in outcome.err
        assert open_image("x.png", "L").shape[1] < 28

    def test_info_and_replay(self, path: Path) -> None:
        before = path.read_bytes()
        facts = json.loads(ddpm("info", path, "--json").out)
        assert (facts["command"], facts["names"]) == ("encode", ["a.png", "b.png"])
        words = replayed(path)
        path.unlink()
        done(*words)
        assert path.read_bytes() == before

    def test_it_is_no_model(self, path: Path) -> None:
        outcome = ddpm("sample", "-m", path)
        assert (outcome.code, "latents of images" in outcome.err) == (1, True)

    @pytest.mark.parametrize("start", [["--from", "latents.safetensors"], ["--init", "a.png"]])
    def test_samples_are_replayed(self, path: Path, start: list[str]) -> None:
        words = [*start, *(["--at", "60%"] if start[0] == "--init" else [])]
        done("sample", *words, "-n", 2, "-o", "x.png", *PLAIN)
        before = Path("x.png").read_bytes()
        again = replayed("x.png")
        Path("x.png").unlink()
        done(*again)
        assert Path("x.png").read_bytes() == before


class TestInit:
    def test_little_noise_keeps_the_image_and_all_of_it_does_not(self) -> None:
        far = [
            apart(pixels("--init", "a.png", "--at", at, "--sampler", "ddim", *PLAIN), inputs("a"))
            for at in ("1", "20%", "100%")
        ]
        assert far == sorted(far)
        assert far[0] <= 12
        assert far[-1] > 100

    def test_noise_is_of_each_seed_its_own(self) -> None:
        words = ("--init", "a.png", "--at", "60%", *PLAIN)
        many = pixels(*words, "-n", 3)
        assert apart(many[0], many[1]) > 10
        assert apart(pixels(*words, "--seed", 2), many[2:]) <= 1

    def test_walk_starts_at_the_level_with_the_image_in_it(self) -> None:
        words = ("--init", "a.png", "--at", 600, "--trajectory", "t.safetensors", *PLAIN)
        done("sample", *words, "-o", "x.png")
        found = load_file("t.safetensors")
        alpha, sigma = float(found["alphas"][0]), float(found["sigmas"][0])
        x0 = inputs("a").double() / 127.5 - 1
        want = alpha * (x0 + sigma * inversion.noise([0], PHILOX).normal(x0))
        assert torch.allclose(found["states"][0].double(), want, atol=1e-5)

    def test_calls_count_the_levels_that_are_left(self) -> None:
        said = done("sample", "--init", "a.png", "--at", "50%", "--calls", 10, "--dry-run").err
        assert "1 image, 10 steps, 10 network calls" in said

    def test_another_size_needs_fit(self) -> None:
        Path("large.png").write_bytes(encode_png(torch.zeros(1, 16, 16, dtype=torch.uint8)))
        words = ("sample", "--init", "large.png", "--at", "50%", "-o", "x.png")
        assert "16x16 pixels, the model takes 8x8" in ddpm(*words).err
        assert done(*words, "--fit", "resize").code == 0


def test_the_bundled_settings_are_refused_where_images_would_not_return() -> None:
    config = resolve([CODING, Layer("test", {"wrappers": [{"name": "threshold"}]})])
    with pytest.raises(ConfigError, match=r"wrappers\.threshold"):
        inversion.plan(config, linear())
