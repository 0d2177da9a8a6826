"""`ddpm interpolate`: between images, between seeds, and through shared noise."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import PLAIN, apart, contents, ddpm, done, replayed
from torch import Tensor

from ddpm_cli.files.images.pixels import open_image, read_metadata

pytestmark = [pytest.mark.small, pytest.mark.usefixtures("abc")]


def frames(*words: object) -> Tensor:
    """The frames uint8 [N, C, H, W], as files of their own."""
    paths = done("interpolate", *words, *PLAIN, "--force", "-o", "frames/").out.splitlines()
    return torch.stack([open_image(path, "L") for path in paths])


def given(name: str) -> Tensor:
    return open_image(f"{name}.png", "L")


class TestBetweenImages:
    def test_ends_are_the_images(self) -> None:
        words = ("a.png", "b.png", "-n", 3, "--steps", 24, *PLAIN)
        said = done("interpolate", *words, "-o", "frames/").err
        made = [open_image(f"frames/{n:04d}.png", "L") for n in range(3)]
        largest = max(apart(made[0], given("a")), apart(made[2], given("b")))
        found = re.search(r"the ends come back at ([0-9.]+), ([0-9.]+) dB", said)
        assert found
        assert min(map(float, found.groups())) > 30
        assert largest <= 30
        assert min(apart(made[1], given("a")), apart(made[1], given("b"))) > 60

    def test_a_frame_is_the_same_whatever_their_number(self) -> None:
        few = frames("a.png", "b.png", "-n", 3, "--steps", 6)
        many = frames("a.png", "b.png", "-n", 5, "--steps", 6)
        one_by_one = frames("a.png", "b.png", "-n", 5, "--steps", 6, "--batch", 1)
        assert apart(few, many[::2]) <= 1
        assert apart(one_by_one, many) <= 1
        assert apart(many[1], many[2]) > 10

    def test_every_end_of_several_is_met(self) -> None:
        several = frames("a.png", "b.png", "c.png", "a.png", "-n", 3, "--steps", 5)
        assert len(several) == 7
        first = frames("a.png", "b.png", "-n", 3, "--steps", 5)
        assert apart(several[:3], first) <= 1
        assert apart(several[0], several[6]) <= 1

    def test_lerp_is_another_path_with_the_same_ends(self) -> None:
        words = ("a.png", "b.png", "-n", 3, "--steps", 6)
        curved, straight = frames(*words), frames(*words, "--blend", "lerp")
        assert apart(curved[::2], straight[::2]) <= 1
        assert apart(curved[1], straight[1]) > 1

    def test_class_matters_and_is_none_by_default(self) -> None:
        words = ("a.png", "b.png", "-n", 2, "--steps", 6)
        frames(*words)
        assert read_metadata("frames/0000.png")["class"] == "none"
        frames(*words, "--class", 3)
        assert read_metadata("frames/0000.png")["class"] == "3"


class TestBetweenSeeds:
    def test_ends_are_what_sample_draws(self) -> None:
        """With the same deterministic settings, unclamped and without a class."""
        made = frames("--seeds", "5,2", "-n", 3, "--steps", 6)
        settings = ("--set", "levels={name='logsnr', count=6}", "--set", "wrappers=[]")
        words = ("--seeds", "5,2", "--sampler", "heun", "--class", "none", *settings, *PLAIN)
        done("sample", *words, "-o", "{seed}.png")
        for frame, seed in ((made[0], 5), (made[2], 2)):
            assert apart(frame, open_image(f"{seed:06d}.png", "L")) <= 1


class TestThroughNoise:
    def test_little_noise_keeps_the_ends(self) -> None:
        made = frames("a.png", "b.png", "-n", 3, "--at", 1)
        assert apart(made[0], given("a")) <= 12
        middle = (given("a").float() + given("b").float()) / 2
        assert (made[1].float() - middle).abs().max() <= 20, "a straight line between pictures"

    def test_all_noise_makes_one_image_of_all(self) -> None:
        made = frames("a.png", "b.png", "-n", 3, "--at", "100%", "--sampler", "ddim")
        assert apart(made[0], made[2]) <= 8, "the same noise at both ends, and along the walk"

    def test_seed_chooses_the_noise(self) -> None:
        words = ("a.png", "b.png", "-n", 2, "--at", "60%")
        assert apart(frames(*words), frames(*words)) == 0
        assert apart(frames(*words), frames(*words, "--seed", 1)) > 10

    def test_an_image_noised_alone_is_the_one_that_sample_makes(self) -> None:
        made = frames("a.png", "b.png", "-n", 2, "--at", "60%", "--seed", 4)
        words = ("--init", "a.png", "--at", "60%", "--seed", 4, *PLAIN)
        done("sample", *words, "-o", "one.png")
        assert apart(made[0], open_image("one.png", "L")) <= 1


class TestOutputs:
    def test_strip_and_film(self) -> None:
        words = ("a.png", "b.png", "-n", 4, "--steps", 4, *PLAIN)
        assert done("interpolate", *words).out == "interpolation.png\n"
        assert open_image("interpolation.png", "L").shape == (1, 12, 42)
        done("interpolate", *words, "-o", "film.gif", "--speed", 50)
        with Image.open("film.gif") as film:
            assert (film.n_frames, film.size) == (4, (8, 8))
            assert film.info["duration"] == 50
        whole = open_image("interpolation.png", "L")
        done("interpolate", *words, "-o", "frames")
        assert apart(whole[:, 2:10, 2:10], open_image("frames/0000.png", "L")) == 0
        assert (
            done("interpolate", *words, "-o", "-").binary == Path("interpolation.png").read_bytes()
        )

    @pytest.mark.parametrize(
        "words",
        [
            ["a.png", "b.png", "-o", "strip.png"],
            ["--seeds", "4,1", "--blend", "lerp", "-o", "strip.png"],
            ["a.png", "b.png", "--at", "400", "--seed", "3", "-o", "strip.png"],
            ["a.png", "b.png", "-o", "frames/"],
        ],
    )
    def test_replay(self, words: list[str]) -> None:
        *_, made = done("interpolate", *words, "-n", 3, "--steps", 4, *PLAIN).out.splitlines()
        before = contents(Path())
        again = replayed(made)
        done(*again, "--force")
        assert contents(Path()) == before

    @pytest.mark.parametrize("place", ["interpolation.png", "frames/"])
    def test_files_in_the_way(self, place: str) -> None:
        words = ("interpolate", "a.png", "b.png", "-n", 2, "--steps", 4, *PLAIN, "-o", place)
        done(*words)
        before = contents(Path())
        outcome = ddpm(*words)
        assert (outcome.code, "exists already" in outcome.err) == (1, True)
        assert contents(Path()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png"], "INPUT: name two images or more, or seeds"),
        ([], "INPUT: name two images or more, or seeds"),
        (["--seeds", "4"], "INPUT: name two images or more, or seeds"),
        (["a.png", "b.png", "--seeds", "1,2"], "--seeds: INPUT says already between what"),
        (["a.png", "b.png", "-n", "1"], "--count 1: give 2 frames or more"),
        (["a.png", "b.png", "--sampler", "ddpm"], "sampler.ddpm: adds noise"),
        (["a.png", "b.png", "--at", "400", "--blend", "slerp"], "--blend slerp: between images"),
        (["--seeds", "1,2", "--at", "400"], "--at: gives images noise, and seeds are noise"),
        (["a.png", "b.png", "--class", "x"], "--class: no class is named 'x'"),
        (
            ["a.png", "b.png", "-o", "x.mp4"],
            "unknown ending; use .png, .jpg,",
        ),
    ],
)
def test_usage(words: list[str], message: str) -> None:
    outcome = ddpm("interpolate", *words)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err
    assert sorted(contents(Path())) == ["a.png", "b.png", "c.png"]


def test_an_end_that_cannot_be_read() -> None:
    Path("bad.png").write_bytes(b"")
    outcome = ddpm("interpolate", "a.png", "bad.png")
    assert (outcome.code, "Error: bad.png: empty file" in outcome.err) == (1, True)


class TestFilms:
    def test_a_webp_is_a_film_if_asked_for(self) -> None:
        words = ("a.png", "b.png", "-n", 4, "--steps", 4, *PLAIN)
        done("interpolate", *words, "--film", "--hold", 500, "--speed", 40, "-o", "x.webp")
        times = []
        with Image.open("x.webp") as film:
            for number in range(film.n_frames):  # type: ignore[attr-defined]
                film.seek(number)
                film.load()
                times.append(film.info["duration"])
        assert times == [500, 40, 40, 500]
        before = Path("x.webp").read_bytes()
        done(*replayed("x.webp"), "--force")
        assert Path("x.webp").read_bytes() == before
        done("interpolate", *words, "-o", "strip.webp")
        with Image.open("strip.webp") as strip:
            assert getattr(strip, "n_frames", 1) == 1

    def test_every_end_stays(self) -> None:
        words = ("a.png", "b.png", "c.png", "-n", 3, "--steps", 4, "--hold", 300, *PLAIN)
        done("interpolate", *words, "-o", "x.gif")
        with Image.open("x.gif") as film:
            times = []
            for number in range(5):
                film.seek(number)
                times.append(film.info["duration"])
        assert times == [300, 120, 300, 120, 300]

    def test_easing_chooses_other_places_on_the_same_way(self) -> None:
        words = ("a.png", "b.png", "--steps", 5)
        even = frames(*words, "-n", 9)
        late = frames(*words, "-n", 5, "--easing", "in")
        assert apart(late[0], even[0]) <= 1
        assert apart(late[2], even[2]) <= 1, "a quarter of the way at half of the time"
        assert apart(late[4], even[8]) <= 1
        soft = frames(*words, "-n", 3, "--easing", "smooth")
        assert apart(soft, even[::4]) <= 1

    def test_places_are_labels(self) -> None:
        done("interpolate", "a.png", "b.png", "-n", 3, "--steps", 4, *PLAIN,
             "--labels", "place", "-o", "strip.png")  # fmt: skip
        with Image.open("strip.png") as strip:
            assert strip.height == 8 + 11 + 4
        paths = done("interpolate", "a.png", "b.png", "-n", 3, "--steps", 4, *PLAIN, "-o", "f/")
        told = [read_metadata(path)["place"] for path in paths.out.splitlines()]
        assert told == ["a", "0.5", "b"]

    @pytest.mark.parametrize("name", ["x.webp", "x.gif"])
    def test_frames_of_a_film_are_as_large_whatever_their_labels_are(self, name: str) -> None:
        film = ["--film"] * (name == "x.webp")
        done("interpolate", "a.png", "b.png", "-n", 3, "--steps", 4, *PLAIN, *film,
             "--labels", "frame,place", "--easing", "smooth", "-o", name, "--force")  # fmt: skip
        with Image.open(name) as pictures:
            sizes = []
            for number in range(pictures.n_frames):
                pictures.seek(number)
                sizes.append(pictures.size)
                page = np.asarray(pictures.convert("L"))
                assert (page[-11:] < 128).any(), "each frame has its label"
        assert len(set(sizes)) == 1

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--film", "-o", "x.gif"], "a .gif is one already"),
            (["--film", "-o", "x.png"], "give -o x.webp"),
            (["--hold", 500, "-o", "x.png"], "--hold: of a film"),
            (["--speed", 500, "-o", "x.webp"], "--speed: of a film"),
            (["--film", "-o", "x.webp", "--columns", 2], "--columns"),
            (["--easing", "soft", "-o", "x.png"], "soft"),
        ],
    )
    def test_refusals(self, words: list[object], message: str) -> None:
        outcome = ddpm("interpolate", "a.png", "b.png", *words)
        assert outcome.code == 2
        assert message in outcome.err
