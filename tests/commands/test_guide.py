"""`ddpm guide`: every way to steer, what it costs, what it refuses, and how it is repeated."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from guided import guide, pixels, quarter, repeated
from runs import contents, ddpm, replayed, train
from safetensors.torch import load_file
from torch import Tensor, nn

from ddpm_cli.files.images.pixels import open_image, read_metadata

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows no classes."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    assert train(data, folder, "--set", "network.classes=0").code == 0
    return folder


@pytest.fixture(scope="module")
def undropped(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never saw the null class."""
    folder = tmp_path_factory.mktemp("runs") / "undropped"
    assert train(data, folder, "--set", "train.drop_class=0.0").code == 0
    return folder


CODE = """
import torch


def bright(images):
    return images.mean((1, 2, 3))


def sides(x, label):
    # Tells images that are brighter on the left (class 0) from those on the right (class 1).
    half = x.shape[-1] // 2
    left, right = x[..., :half].mean((1, 2, 3)), x[..., half:].mean((1, 2, 3))
    return torch.stack([left, right], dim=1) * 20


def vague(images):
    return (images - 3).log().mean((1, 2, 3))
"""


class Brightness(nn.Module):
    """Likes bright images."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((1, 2, 3))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with functions of a user's own."""
    path = tmp_path_factory.mktemp("code") / "judge.py"
    path.write_text(CODE)
    return path


@pytest.fixture(scope="module")
def scorer(code: Path) -> str:
    return f"{code}:bright"


@pytest.fixture(scope="module")
def sides(code: Path) -> str:
    return f"{code}:sides"


@pytest.fixture(scope="module")
def program(code: Path) -> Path:
    """What `bright` is as a program, for one image at a time."""
    path = code.with_name("bright.pt2")
    torch.export.save(torch.export.export(Brightness(), (torch.zeros(1, 1, 8, 8),)), path)
    return path


# What each verb needs to draw something, of an image of 8x8.
OF_VERB: dict[str, tuple[object, ...]] = {
    "guide": (),
    "sample": (),
    "inpaint": ("a.png", "--mask", "0,0,8,4"),
    "upscale": ("a.png", "--task", "deblur", "--method", "zero-shot"),
    "interpolate": ("--seeds", "1,2", "-n", 3, "--steps", 30),
}


class TestTwoPasses:
    def test_scale_1_is_no_guidance_and_the_default_is_some(self) -> None:
        words = ("--class", 1, "-n", 3)
        sampled = pixels(*words, verb="sample")
        assert torch.equal(pixels(*words, "--scale", 1), sampled)
        assert not torch.equal(pixels(*words), sampled)

    def test_scale_0_is_the_null_class(self) -> None:
        unguided = pixels("--class", "none", "-n", 3, verb="sample")
        assert torch.equal(pixels("--class", 1, "-n", 3, "--scale", 0), unguided)

    def test_every_verb_is_guided_by_the_same_table(self) -> None:
        words = ("--class", 1, "-n", 3)
        sampled = pixels(*words, "--set", "guidance.scale=3", verb="sample")
        assert torch.equal(pixels(*words, "--scale", 3), sampled)

    def test_omega_is_scale_less_1(self) -> None:
        words = ("--class", 1, "-n", 2)
        assert torch.equal(pixels(*words, "--omega", 1.5), pixels(*words, "--scale", 2.5))
        said = guide(*words, "--omega", 1.5, "-o", "x.png").err
        assert "guidance scale 2.5 (omega 1.5)" in said

    @pytest.mark.parametrize("inside", ["100,200", "1e5,2e5", "1e-9,1e-8"])
    def test_an_interval_without_levels_is_refused(self, inside: str) -> None:
        outcome = ddpm("guide", "--interval", inside, "--class", 2, "-o", "x.png")
        assert outcome.code == 2
        assert "no call of the network lies above" in outcome.err
        assert "so nothing is guided; calls go from" in outcome.err
        assert not Path("x.png").exists()

    def test_two_passes_count_as_two_calls(self) -> None:
        assert "4 steps, 8 network calls" in guide("--dry-run").err
        assert "4 steps, 4 network calls" in guide("--dry-run", "--scale", 1).err
        assert "5 steps, 10 network calls" in guide("--dry-run", "--calls", 10).err

    def test_settings_and_flags_make_up_one_table(self) -> None:
        dry = guide("--dry-run", "--set", "guidance.rescale=0.5", "--scale", 3, "--sampler", "edm")
        assert "rescale = 0.5" in dry.out
        assert "scale = 3.0" in dry.out
        assert dry.err.count("sampler edm: ") == 1, "recipes are told once"

    def test_interval_costs_less(self) -> None:
        dry = guide("--dry-run", "--steps", 20, "--interval", "0.5,2")
        calls = int(dry.err.split("steps, ")[1].split()[0])
        assert 20 < calls < 40
        assert "low = 0.5" in dry.out

    def test_the_class_of_an_image_is_its_seeds(self) -> None:
        """Without --class it is drawn, as by sample."""
        guide("-n", 4, "-o", "guided/")
        guide("-n", 4, "-o", "sampled/", verb="sample")
        for seed in range(4):
            records = [
                read_metadata(Path(f"{kind}/{seed:06d}.png")) for kind in ("guided", "sampled")
            ]
            assert records[0]["classes"] == records[1]["classes"]

    def test_an_image_alone_is_the_same_image(self) -> None:
        words = ("--class", "all", "--scale", 3)
        whole = pixels(*words, "-n", 5)
        alone = pixels(*words, "--seeds", 3)
        assert int((whole[3] - alone[0]).abs().max()) <= 1

    def test_one_of_each_class_by_default(self) -> None:
        guide("--class", "0-3", "-o", "{seed}-{class}.png")
        assert sorted(contents(Path())) == [f"00000{i}-{i}.png" for i in range(4)]

    def test_repeated(self) -> None:
        guide(
            "--class", "0-2", "--scale", 4, "--rescale", 0.7, "--interval", "0.1,9", "-o", "a.png"
        )
        assert repeated("a.png")


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--grad-at", "mean"), "--grad-at: only with --classifier"),
            (("--unconditional",), "--unconditional: only with"),
            (("--mask", "0,0,4,4"), "--mask: only with --restore"),
            (("--mask-keeps", "white"), "--mask-keeps: only with --mask"),
            (("--cutouts", 4), "--cutouts: only with --clip or --clip-image"),
            (("--scale", 2, "--omega", 1), "--omega: --scale says"),
            (("--interval", "3,1"), "--interval '3,1': write two"),
            (("--class", "none"), "--class none: guidance.scale pulls"),
            (("--class", "cow"), "--class: no class is named 'cow'"),
            (("--restore", "mask", "--image", "x.png"), "--mask: --restore mask needs it"),
            (("--restore", "deblur"), "--restore: of which image?"),
            (("--clip", "hedgehog"), "--clip: of which model?"),
            (("--download",), "--download: only with --clip-model"),
            (("--set", "guidance.rescale=0.5", "--scale", 1), "guidance.rescale: of no use"),
            (("--scorer", "no.py:f"), "no.py:f: No such file or directory"),
            (("--scorer", "no.pt2", "--trust"), "no.pt2: No such file or directory"),
            (("--trust",), "--trust: only with --scorer or --classifier"),
            (("--set", "guides=[{name='scorer'}]"), "guides.scorer: which function? Give --sc"),
            (
                ("--set", "guides=[{name='classifier', model='--classifier'}]"),
                "guides.classifier: which function? Give --classifier FILE.py:NAME",
            ),
            (("--classifier", "nobody"), "nobody: no such file"),
            (("--set", "guides=[{name='judge'}]"), "guides[0].name: no guides is named 'judge'"),
        ],
    )
    def test_one_line_says_why(self, words: tuple[object, ...], said: str) -> None:
        outcome = ddpm("guide", *words, "-o", "x.png")
        assert outcome.code in (1, 2)
        line = next(line for line in outcome.err.splitlines() if line.startswith("Error: "))
        assert said in line, outcome.err
        assert not Path("x.png").exists()

    def test_model_without_classes(self, plain: Path) -> None:
        outcome = ddpm("guide", "-m", plain, "-o", "x.png")
        assert (outcome.code, "trained without classes" in outcome.err) == (2, True)

    def test_model_that_always_saw_the_class(self, undropped: Path) -> None:
        outcome = ddpm("guide", "-m", undropped, "-o", "x.png")
        assert (outcome.code, "train.drop_class" in outcome.err) == (2, True)
        assert ddpm("guide", "-m", undropped, "--scale", 1, "-o", "x.png").code == 0

    @pytest.mark.parametrize("verb", ["encode", "nll"])
    def test_verbs_that_do_not_draw_take_no_guides(self, verb: str) -> None:
        quarter("a.png", 8)
        outcome = ddpm(verb, "a.png", "--set", "guides=[{name='scorer'}]", "-o", "x.safetensors")
        assert (outcome.code, "guides: only of ddpm guide, sample" in outcome.err) == (2, True)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--guide", "scorr"), "guides: no component named 'scorr'; did you mean scorer?"),
            (("--guide", "scorer:skale=2"), "skale"),
            (("--guide", "scorer:2"), "--guide scorer:2: write NAME:knob=value"),
            (("--guide", "a.py:f"), "--guide a.py:f: code of yours; give --scorer a.py:f"),
            (("--guide", "scorer:model=a.py:f"), "code of yours; give --scorer a.py:f"),
            (("--guide", "classifier:model=a.py:f"), "code of yours; give --classifier a.py:f"),
            (("--guide", "scorer"), "guides.scorer: which function? Give --scorer"),
            (("--guide", "scorer:scale=2", "--scorer", "a.py:f", "--scale", 3), "says already"),
            (("--scale", 3), "--scale: of a guide, and none is given"),
            (("--clip", "a"), "--clip: of which model?"),
            (("--unconditional",), "--unconditional: only with a classifier"),
            (("--overviews", "2"), "--overviews: only with --clip"),
        ],
    )
    @pytest.mark.parametrize("verb", ["sample", "inpaint", "upscale", "interpolate"])
    def test_every_verb_says_why(self, verb: str, words: tuple[object, ...], said: str) -> None:
        quarter("a.png", 8)
        outcome = ddpm(verb, *OF_VERB[verb], *words, "-o", "x.png")
        assert outcome.code in (1, 2)
        (line,) = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
        assert said in line
        assert not Path("x.png").exists()

    def test_gradient_at_the_mean_needs_a_step_with_one(self, sides: str) -> None:
        outcome = ddpm("guide", "--classifier", sides, "--class", 0, "--grad-at", "mean")
        assert (outcome.code, "use --sampler ddpm" in outcome.err) == (2, True)

    def test_several_guides_have_no_scale_in_common(self, sides: str, scorer: str) -> None:
        words = ("--classifier", sides, "--scorer", scorer, "--class", 0)
        outcome = ddpm("guide", *words, "--scale", 2, "-o", "x.png")
        assert (outcome.code, "give each its own" in outcome.err) == (2, True)
        assert ddpm("guide", *words, "-o", "x.png").code == 0


SAMPLERS = ("ddim", "ddpm", "heun", "dpm++2m", "euler-a", "pc")


def leaning(images: Tensor) -> Tensor:
    """By how much each image is brighter on the right."""
    half = images.shape[-1] // 2
    return (images[..., half:].double() - images[..., :half].double()).flatten(1).mean(1)


class TestCode:
    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_classifier_pulls_with_every_sampler(self, sides: str, sampler: str) -> None:
        words = ("-n", 4, "--sampler", sampler, "--unconditional", "--scale", 3)
        if sampler != "pc":
            words = (*words, "--set", "levels={name='karras', count=10}")
        ways = [leaning(pixels("--classifier", sides, "--class", name, *words)) for name in (0, 1)]
        assert bool((ways[1] > ways[0]).all())
        assert float((ways[1] - ways[0]).mean()) > 10

    def test_at_the_mean(self, sides: str) -> None:
        words = ("--classifier", sides, "--class", 1, "-n", 2, "--sampler", "ddpm", "--scale", 30)
        there, here = pixels(*words, "--grad-at", "mean"), pixels(*words, "--grad-at", "x")
        assert not torch.equal(there, here)
        assert bool((leaning(there) > 10).all())

    def test_model_without_classes(self, sides: str, plain: Path) -> None:
        words = ("-m", plain, "--classifier", sides, "-n", 2, "--scale", 30)
        first, second = (leaning(pixels(*words, "--class", name)) for name in (0, 1))
        assert bool((second > first).all())

    def test_class_that_the_function_lacks(self, sides: str) -> None:
        outcome = ddpm("guide", "--classifier", sides, "--class", 7, "-o", "x.png")
        assert (outcome.code, "no class is named '7'" in outcome.err) == (2, True)
        assert not Path("x.png").exists()

    def test_classes_of_a_function_take_turns(self, sides: str, plain: Path) -> None:
        words = ("-m", plain, "--classifier", sides, "--class", "all", "--scale", 30)
        guide(*words, "-o", "{seed}-{class}.png")
        assert sorted(contents(Path())) == ["000000-0.png", "000001-1.png"]
        left, right = (leaning(open_image(Path(p))[None].int()) for p in sorted(contents(Path())))
        assert float(right) > float(left)

    def test_scorer_pulls(self, scorer: str) -> None:
        words = ("-n", 4, "--class", "none")
        dark = pixels(*words, verb="sample")
        bright = pixels(*words, "--scorer", scorer, "--scale", 300)
        assert bool((bright.double().mean((1, 2, 3)) > dark.double().mean((1, 2, 3)) + 10).all())

    def test_repeated(self, sides: str, scorer: str) -> None:
        words = ("--classifier", sides, "--class", 1, "--unconditional", "-n", 2, "--scale", 9)
        guide(*words, "-o", "a.png")
        guide("--scorer", scorer, "-n", 2, "-o", "b.png")
        assert repeated("a.png", "--classifier", sides)
        assert repeated("b.png", "--scorer", scorer)

    def test_cost_is_said(self, scorer: str) -> None:
        assert "steered by scorer" in guide("--scorer", scorer, "--dry-run").err

    def test_program_does_as_its_function(self, scorer: str, program: Path) -> None:
        words = ("-n", 3, "--scale", 40, "--class", 1)
        called = pixels("--scorer", scorer, *words)
        assert torch.equal(pixels("--scorer", program, "--trust", *words), called)

    def test_program_is_trusted_anew_each_time(self, program: Path) -> None:
        outcome = ddpm("guide", "--scorer", program, "-o", "x.png")
        assert (outcome.code, "can run any code; add --trust" in outcome.err) == (2, True)
        guide("--scorer", program, "--trust", "-o", "x.png")
        again = replayed("x.png")
        assert ("--scorer" in again, "--trust" in again) == (False, False)
        again += ["--scorer", program]
        outcome = ddpm(*again, "--force")
        assert (outcome.code, "add --trust" in outcome.err) == (2, True)
        before = Path("x.png").read_bytes()
        assert ddpm(*again, "--force", "--trust").code == 0
        assert Path("x.png").read_bytes() == before

    def test_command_leaves_code_to_who_trusts_it(self, sides: str, scorer: str) -> None:
        words = ("--classifier", sides, "--class", 1, "--scorer", scorer, "--unconditional")
        guide(*words, "-n", 2, "-o", "a.png")
        told = ddpm("info", "a.png", "--command")
        assert sides not in told.out
        assert scorer not in told.out
        assert f"Warning: a.png: --classifier {sides}: left out" in told.err
        assert f"Warning: a.png: --scorer {scorer}: left out" in told.err
        assert repeated("a.png", "--classifier", sides, "--scorer", scorer)

    def test_strength_of_code_beside_others(self, sides: str, scorer: str) -> None:
        guides = "guides=[{name='scorer', scale=40}, {name='classifier', model='--classifier'}]"
        words = ("--scorer", scorer, "--classifier", sides, "--class", 1)
        strong = pixels(*words, "--set", guides)
        assert not torch.equal(pixels(*words, "--set", guides.replace("40", "0")), strong)
        guide(*words, "--set", guides, "-o", "a.png")
        assert repeated("a.png", *words[:4])
        outcome = ddpm("guide", *words, "--set", "guides=[{name='scorer'}]", "-o", "x.png")
        assert (outcome.code, '{name="classifier", model="--classifier"}' in outcome.err) == (
            2,
            True,
        )

    def test_settings_name_no_code(
        self, scorer: str, program: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for table in (
            f"{{name='scorer', program='{scorer}'}}",
            f"{{name='classifier', model='{program}'}}",
        ):
            Path("mine.toml").write_text(f"guides = [{table}]\n")
            monkeypatch.setenv("DDPM_SET", "")
            for words in (("--set", f"guides=[{table}]"), ("--config", "mine.toml"), ()):
                if not words:
                    monkeypatch.setenv("DDPM_SET", f"guides=[{table}]")
                for verb in ("guide", "sample"):
                    outcome = ddpm(verb, *words, "--trust" if verb == "guide" else "-v")
                    assert outcome.code == 2
                    lines = [line for line in outcome.err.splitlines() if line.startswith("Error")]
                    assert len(lines) == 1
                    assert "code runs from the command line alone" in lines[0]

    @pytest.mark.parametrize("flag", ["scorer", "classifier"])
    @pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.pkl"])
    def test_pickles_are_never_read(self, flag: str, name: str) -> None:
        torch.save(Brightness(), name)
        outcome = ddpm("guide", f"--{flag}", name, "--trust", "-o", "x.png")
        assert outcome.code == 2
        assert outcome.err.startswith(f"Error: --{flag} {name}: a pickle, which can run any code")

    def test_faults_are_one_line_that_names_the_function(self, code: Path) -> None:
        outcome = ddpm("guide", "--scorer", f"{code}:vague", "-o", "x.png")
        assert outcome.code == 1
        assert f"Error: {code}:vague: its result is not finite" in outcome.err
        outcome = ddpm("guide", "--scorer", f"{code}:sides", "-o", "x.png")
        assert outcome.code == 1
        assert f"Error: {code}:sides: TypeError: sides() missing" in outcome.err
        assert "Traceback" not in outcome.err
        assert "Traceback" in ddpm("guide", "--scorer", f"{code}:sides", "-o", "x.png", "-vv").err
        assert not Path("x.png").exists()


class TestTogether:
    def test_settings_of_two_passes_beside_a_guide_need_a_scale(self, sides: str) -> None:
        words = ("--classifier", sides, "--class", 0, "--interval", "0.1,2", "-o", "x.png")
        outcome = ddpm("guide", *words)
        assert (outcome.code, "of no use where guidance.scale is 1" in outcome.err) == (2, True)
        assert guide(*words, "--set", "guidance.scale=2").err.count("omega 1") == 1

    def test_guides_are_named_in_one_place(self, sides: str, scorer: str) -> None:
        guides = "guides=[{name='classifier', model='--classifier'}]"
        words = ("--set", guides, "--classifier", sides, "--class", 0, "-o", "x.png")
        outcome = ddpm("guide", "--scorer", scorer, *words)
        assert (outcome.code, "give all in one place" in outcome.err) == (2, True)
        outcome = ddpm("guide", "--scale", 3, *words)
        assert (outcome.code, "give each its own" in outcome.err) == (2, True)
        guide(*words)
        assert repeated("x.png", "--classifier", sides)

    def test_unconditional_is_about_a_classifier(self, scorer: str) -> None:
        outcome = ddpm("guide", "--scorer", scorer, "--unconditional", "-o", "x.png")
        assert (outcome.code, "only with a classifier" in outcome.err) == (2, True)

    def test_null_class_that_was_never_trained(self, undropped: Path, scorer: str) -> None:
        outcome = ddpm("guide", "-m", undropped, "--scorer", scorer, "-o", "x.png")
        assert (outcome.code, "always saw the class" in outcome.err) == (2, True)
        guide("-m", undropped, "--scorer", scorer, "--class", 1, "-o", "x.png")

    def test_record_says_what_steered(self, sides: str, code: Path) -> None:
        guide("--classifier", sides, "--class", 0, "-o", "x.png")
        record = read_metadata(Path("x.png"))
        assert record["guides"] == [hashlib.sha256(code.read_bytes()).hexdigest()]

    def test_files_are_looked_for_before_any_work(self) -> None:
        outcome = ddpm("guide", "--scorer", "no.py:f", "--dry-run")
        assert (outcome.code, "no.py:f" in outcome.err) == (1, True)

    @pytest.mark.parametrize(
        ("verb", "own"),
        [
            ("inpaint", ("--mask", "0,0,4,4")),
            ("upscale", ("--factor", 2, "--method", "zero-shot")),
            ("encode", ("--steps", 12)),
            ("interpolate", ("--seeds", "1,2", "-n", 3, "--steps", 12)),
        ],
    )
    def test_two_passes_in_every_verb(self, verb: str, own: tuple[object, ...]) -> None:
        quarter("a.png", 4 if verb == "upscale" else 8)
        end = "safetensors" if verb == "encode" else "png"
        given = () if verb == "interpolate" else ("a.png",)
        words = (*given, *own, "--dtype", "float32")
        outcome = ddpm(verb, *words, "--set", "guidance.scale=4", "-o", f"x.{end}")
        assert (outcome.code, "name one with --class" in outcome.err) == (2, True)
        made = []
        for scale in (16, 1):
            setting = ("--set", f"guidance.scale={scale}", "--class", 1)
            outcome = ddpm(verb, *words, *setting, "-o", f"{scale}.{end}")
            assert outcome.code == 0, outcome.err
            made.append(Path(f"{scale}.{end}"))
        if verb == "encode":
            first, second = (load_file(path)["latents"] for path in made)
        else:
            first, second = (open_image(path) for path in made)
        assert not torch.equal(first, second)


class TestEveryVerb:
    @pytest.mark.parametrize("verb", ["sample", "inpaint", "interpolate", "guide"])
    def test_a_classifier_pulls(self, verb: str, sides: str) -> None:
        quarter("a.png", 8)
        made = []
        for name in (0, 1):
            words = ("--classifier", sides, "--unconditional", "--class", name, "--scale", 30)
            said = guide(*OF_VERB[verb], *words, "-o", f"{name}.png", verb=verb)
            assert "steered by classifier" in said.err
            made.append(leaning(open_image(Path(f"{name}.png"))[None].int()))
        assert float(made[1]) > float(made[0]) + 5

    def test_what_is_known_stays_and_agrees(self, scorer: str) -> None:
        """Guides pull at what is made anew, and no further than what is given allows."""
        known = quarter("a.png", 8)
        words = ("--scorer", scorer, "--scale", 300)
        guide(*OF_VERB["inpaint"], *words, "-o", "in.png", verb="inpaint")
        guide(*OF_VERB["inpaint"], "-o", "free.png", verb="inpaint")
        bright, free = (open_image(Path(name)).int() for name in ("in.png", "free.png"))
        assert bool((bright[..., 4:, :] == known[..., 4:, :]).all())
        anew = [image[..., :4, :].double().mean() for image in (bright, free)]
        assert float(anew[0]) > float(anew[1]) + 10
        line = guide(*OF_VERB["upscale"], *words, "--json", "-o", "up.png", verb="upscale").out
        free_line = guide(*OF_VERB["upscale"], "--json", "-o", "no.png", verb="upscale").out
        assert json.loads(line)["error"] <= json.loads(free_line)["error"] + 3
        assert Path("up.png").read_bytes() != Path("no.png").read_bytes()

    @pytest.mark.parametrize("verb", [*OF_VERB])
    def test_repeated(self, verb: str, sides: str, code: Path) -> None:
        quarter("a.png", 8)
        words = ("--classifier", sides, "--class", 1, "--guide", "classifier:scale=9")
        guide(*OF_VERB[verb], *words, "-o", "x.png", verb=verb)
        record = read_metadata(Path("x.png"))
        assert record["guides"] == [hashlib.sha256(code.read_bytes()).hexdigest()]
        assert record["settings"]["guides"][0]["scale"] == 9
        assert repeated("x.png", "--classifier", sides)

    def test_sample_draws_what_guide_draws(self, scorer: str) -> None:
        words = ("--scorer", scorer, "--scale", 50, "-n", 3)
        assert torch.equal(pixels(*words, verb="sample"), pixels(*words))

    def test_guides_add_up(self, scorer: str, sides: str) -> None:
        """Two of half the strength are one; others are added, in whatever way they are named."""
        one = pixels("--scorer", scorer, "--scale", 40, "-n", 2, "--class", 1)
        half = "guides=[{name='scorer', scale=20}, {name='scorer', scale=20}]"
        two = pixels("--scorer", scorer, "--set", half, "-n", 2, "--class", 1)
        assert int((one - two).abs().max()) <= 1
        words = ("--scorer", scorer, "--classifier", sides, "--class", 1, "-n", 2)
        table = "guides=[{name='scorer', scale=40}, {name='classifier', model='--classifier'}]"
        listed = ("--guide", "scorer:scale=40", "--guide", "classifier")
        assert torch.equal(pixels(*words, *listed), pixels(*words, "--set", table))

    def test_frames_do_not_depend_on_the_batch(self, scorer: str) -> None:
        words = (*OF_VERB["interpolate"], "--scorer", scorer, "--scale", 40)
        guide(*words, "-o", "a.png", verb="interpolate")
        guide(*words, "-b", 1, "-o", "b.png", verb="interpolate")
        made = [open_image(Path(name)).int() for name in ("a.png", "b.png")]
        assert int((made[0] - made[1]).abs().max()) <= 1

    def test_a_classifier_needs_a_class_of_what_is_given(self, sides: str) -> None:
        quarter("a.png", 8)
        outcome = ddpm("inpaint", *OF_VERB["inpaint"], "--classifier", sides, "-o", "x.png")
        assert (outcome.code, "name one with --class" in outcome.err) == (2, True)


class TestInit:
    def test_it_keeps_more_of_the_image_the_less_noise_there_is(self, scorer: str) -> None:
        known = quarter("a.png", 8)
        words = ("--init", "a.png", "--scorer", scorer, "--scale", 30, "-n", 3)
        apart = [
            float((pixels(*words, "--at", at) - known).abs().double().mean())
            for at in ("5%", "90%")
        ]
        assert apart[0] < 0.5 * apart[1]

    def test_without_guides_it_is_that_of_sample(self) -> None:
        quarter("a.png", 8)
        words = ("--init", "a.png", "--at", "60%", "-n", 3, "--class", 1)
        sampled = pixels(*words, "--set", "guidance.scale=3", verb="sample")
        assert torch.equal(pixels(*words, "--scale", 3), sampled)

    def test_a_classifier_takes_the_class_of_each_seed(self, sides: str) -> None:
        quarter("a.png", 8)
        words = ("--init", "a.png", "--at", "80%", "--classifier", sides, "--unconditional")
        guide(*words, "--class", "0,1", "--scale", 30, "-o", "{seed}-{class}.png")
        assert {"000000-0.png", "000001-1.png"} <= {*contents(Path())}

    def test_repeated_with_frames(self, scorer: str) -> None:
        quarter("a.png", 4)
        words = ("--init", "a.png", "--at", "60%", "--fit", "pad", "--background", "black")
        guide(*words, "--scorer", scorer, "-n", 2, "-o", "x.png", "--trajectory", "x.gif")
        assert Path("x.gif").stat().st_size
        assert repeated("x.png", "--scorer", scorer)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--init", "a.png"), "--init: needs --at"),
            (("--at", "60%"), "--at: needs --init"),
            (("--fit", "crop"), "--fit: only with --restore or --init"),
            (("--background", "red"), "--background: only with --init"),
            (("--init", "no.png", "--at", "60%"), "no.png"),
        ],
    )
    def test_refused(self, words: tuple[object, ...], said: str) -> None:
        quarter("a.png", 8)
        outcome = ddpm("guide", *words, "--class", 1, "-o", "x.png")
        assert (outcome.code in (1, 2), said in outcome.err) == (True, True)


def test_json_and_stdout() -> None:
    line = json.loads(guide("--class", 2, "--json", "-o", "folder/").out)
    assert (line["class"], line["seed"]) == ("2", 0)
    Path("seen.png").write_bytes(guide("--class", 2, "-o", "-").binary)
    assert open_image(Path("seen.png")).shape[1:] == (8, 8)
