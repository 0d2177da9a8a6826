"""What verbs tell a model beside classes: options, turns, records, replays and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import random_models
import torch
from PIL import Image
from runs import ddpm, replayed
from safetensors import safe_open
from safetensors.torch import load_file

from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.images.pixels import encode_png, open_image, read_metadata
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.models import build, kinds
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.training.init import init

pytestmark = pytest.mark.usefixtures("here")

KNOWN = Quantities(("age", "weight"), (50.0, 70.0), (20.0, 10.0), (20.0, 50.0), (80.0, 90.0))
TEXT = {"length": 16, "width": 8, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is told classes, two numbers and a text, with random weights."""
    path = tmp_path_factory.mktemp("models") / "told.safetensors"
    network = random_models.UNET | {"classes": 2}
    told = {"known": KNOWN, "values": {}, "text": TEXT}
    return random_models.saved(path, network, classes=("cat", "dog"), **told)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is told a text alone."""
    path = tmp_path_factory.mktemp("models") / "texts.safetensors"
    return random_models.saved(path, random_models.UNET, text=TEXT)


def is_made_again(path: Path) -> bool:
    """Whether the command that a file tells makes it again, bit for bit."""
    before, words = path.read_bytes(), replayed(path)
    assert ddpm(*words, "--force").code == 0
    return path.read_bytes() == before


def record(path: Path) -> dict[str, object]:
    """What a picture says of its making."""
    return read_metadata(path)


class TestSample:
    def test_turns_make_a_sheet_that_is_replayed_bit_for_bit(self, model: Path) -> None:
        words = (
            "--class",
            "cat,dog",
            "--text",
            "red heart",
            "--text",
            "-x",
            "--value",
            "age=20,none",
        )
        outcome = ddpm("sample", "-m", model, *words, "-o", "all.png", "--labels", "text,age")
        assert outcome.code == 0, outcome.err
        assert "texts: red heart, -x" in outcome.err
        said = record(Path("all.png"))
        assert said["seeds"] == "0-7"
        assert said["texts"] == ["red heart", "red heart", "-x", "-x"] * 2
        assert said["numbers"] == [{"age": age, "weight": None} for age in (20.0, None)] * 4
        assert said["classes"] == ["cat"] * 4 + ["dog"] * 4
        assert is_made_again(Path("all.png"))

    def test_each_file_says_its_own_and_is_replayed_alone(self, model: Path) -> None:
        words = (
            "--class",
            "cat,dog",
            "--text",
            "red heart",
            "--text",
            "b",
            "--value",
            "age=20:80:30",
        )
        place = "{seed}-{class}-{text}.png"
        told = ddpm("sample", "-m", model, *words, "-o", place, "--json")
        lines = [json.loads(line) for line in told.out.splitlines()]
        assert lines[7]["path"] == "000007-dog-red_heart.png"
        own = {"text": "red heart", "values": {"age": 50.0, "weight": None}, "class": "dog"}
        assert {key: lines[7][key] for key in own} == own
        said = record(Path(lines[7]["path"]))
        assert {key: said[key] for key in own} == own
        assert is_made_again(Path(lines[7]["path"]))
        info = ddpm("info", lines[7]["path"])
        assert "red heart" in info.out
        assert "age=50 weight=none" in info.out
        again = ddpm("sample", "-m", model, *words, "-o", place, "--skip-existing", "--json")
        skipped = [json.loads(line) for line in again.out.splitlines()]
        assert [line["skipped"] for line in skipped] == [True] * 12
        assert {key: skipped[7][key] for key in own} == own

    def test_numbers_and_texts_name_files_alone_where_they_differ(
        self, texts: Path, model: Path
    ) -> None:
        outcome = ddpm("sample", "-m", texts, "--text", "a", "--text", "b", "-o", "{text}.png")
        assert outcome.out.split() == ["a.png", "b.png"], outcome.err
        told = ("sample", "-m", model, "--class", "cat", "--value", "age=20,35.5")
        outcome = ddpm(*told, "-o", "{age}/{weight}.png")
        assert outcome.out.split() == ["20/none.png", "35.5/none.png"], outcome.err
        outcome = ddpm(*told, "-n", 3, "-o", "{age}.png")
        assert outcome.code == 2
        assert "seeds 0 and 2 would both become 20.png; add {seed}" in outcome.err
        outcome = ddpm(*told, "-o", "{size}.png")
        assert "no field {size}" in outcome.err
        assert "{age}" in outcome.err

    def test_files_left_out_that_were_told_something_else_are_named(self, model: Path) -> None:
        words = ("sample", "-m", model, "--class", "cat", "-n", 2, "-o", "out/")
        assert ddpm(*words, "--value", "age=20").code == 0
        again = ddpm(*words, "--value", "age=20", "--skip-existing")
        assert "made otherwise" not in again.err
        other = ddpm(*words, "--value", "age=70", "--skip-existing")
        assert "000000.png (values) and others: made otherwise" in other.err

    def test_long_texts_and_empty_ones_name_files(self, texts: Path) -> None:
        words = ("--text", "红心" * 150, "--text", "", "-o", "{seed}-{text}.png")
        outcome = ddpm("sample", "-m", texts, *words)
        assert outcome.code == 0, outcome.err
        names = sorted(Path(line).name for line in outcome.out.splitlines())
        assert names == [f"000000-{'红心' * 13}.png", "000001-empty.png"]

    def test_a_file_of_texts_tells_the_same_as_options(self, texts: Path) -> None:
        Path("prompts.txt").write_text("one\n\ntwo\n")
        assert ddpm("sample", "-m", texts, "--text-from", "prompts.txt", "-o", "a.npz").code == 0
        assert (
            ddpm("sample", "-m", texts, "--text", "one", "--text", "two", "-o", "b.npz").code == 0
        )
        a, b = np.load("a.npz"), np.load("b.npz")
        assert a["texts"].tolist() == ["one", "two"]
        assert np.array_equal(a["images"], b["images"])
        assert not np.array_equal(a["images"][0], a["images"][1])

    def test_numbers_stand_in_arrays_and_safetensors(self, model: Path) -> None:
        words = ("sample", "-m", model, "--class", "cat", "--value", "age=20,none")
        assert ddpm(*words, "-o", "a.npz").code == 0
        assert np.isnan(np.load("a.npz")["value.age"]).tolist() == [False, True]
        assert ddpm(*words, "-o", "a.safetensors").code == 0
        with safe_open("a.safetensors", "np") as file:
            said = json.loads(file.metadata()["ddpm"])
        assert [one["age"] for one in said["numbers"]] == [20.0, None]

    def test_parts_of_a_job_are_collected_as_one_would_have_made_them(self, model: Path) -> None:
        told = ("--class", "cat", "--text", "a", "--text", "b", "--value", "age=20,30")
        words = ("sample", "-m", model, *told, "-n", "4")
        assert ddpm(*words, "-o", "all.npz").code == 0
        for part in ("1", "2"):
            assert (
                ddpm(*words, "--batch", "2", "--shard", f"{part}/2", "-o", "p{shard}.npz").code
                == 0
            )
        parts = sorted(map(str, Path().glob("p*.npz")))
        assert ddpm("collect", *parts, "-o", "both.npz").code == 0
        whole, both = np.load("all.npz"), np.load("both.npz")
        for name in ("texts", "value.age", "seeds", "classes"):
            assert whole[name].tolist() == both[name].tolist()
        assert json.loads(str(both["ddpm"]))["texts"] == ["a", "a", "b", "b"]
        assert ddpm("collect", "both.npz", "-o", "files/").code == 0
        said = record(Path("files/000002.png"))
        assert (said["text"], said["values"]) == ("b", {"age": 20.0, "weight": None})
        sheet = ("collect", "files/", "-o", "sheet.png", "--labels", "text,age")
        assert ddpm(*sheet).code == 0
        assert record(Path("sheet.png"))["texts"] == ["a", "a", "b", "b"]

    def test_nothing_told_is_what_no_option_gives(self, texts: Path) -> None:
        assert ddpm("sample", "-m", texts, "-o", "a.png").code == 0
        assert ddpm("sample", "-m", texts, "--text", "", "-o", "b.png").code == 0
        a, b = (np.asarray(Image.open(name)) for name in ("a.png", "b.png"))
        assert not np.array_equal(a, b)  # an empty text is one
        assert record(Path("a.png"))["text"] is None


def test_each_stage_of_a_cascade_is_told_what_it_takes(
    model: Path, texts: Path, tmp_path: Path
) -> None:
    task = {"name": "upscale", "factor": 2.0}
    large = tmp_path / "large.safetensors"
    random_models.saved(large, random_models.UNET, shape=(1, 16, 16), text=TEXT, task=task)
    words = ("--text", "red", "--text", "blue", "--value", "age=30", "--class", "cat")
    told = ("sample", *words, "--dtype", "float32", "-o", "a.safetensors")
    assert ddpm(*told, "-m", f"{model},{large}").code == 0
    first = ("sample", *words, "--dtype", "float32", "-o", "{seed}.png", "-m", model)
    assert ddpm(*first).code == 0
    again = ("upscale", "000001.png", "-m", large, "-s", 1, "--dtype", "float32")
    assert ddpm(*again, "-o", "b.png").code == 0
    assert record(Path("b.png"))["text"] == "blue"
    assert ddpm(*again, "--text", "red", "-o", "c.png").code == 0
    both, b, c = load_file("a.safetensors")["samples"][1], *map(open_image, ("b.png", "c.png"))
    pixels = ((both + 1) * 127.5).round()
    assert int((pixels - b[:1]).abs().max()) <= 1
    assert int((pixels - c[:1]).abs().max()) > 1
    always = tmp_path / "always.safetensors"
    text = TEXT | {"drop": 0.0}
    random_models.saved(always, random_models.UNET, shape=(1, 16, 16), text=text, task=task)
    outcome = ddpm("sample", "-m", f"{model},{always}", "-o", "d.png")
    assert (outcome.code, "always told a text (text.drop=0)" in outcome.err) == (2, True)


def test_a_model_of_pairs_is_told_of_each_image(tmp_path: Path) -> None:
    task = {"name": "pairs", "filter": ["blur", "jpeg"]}
    path = tmp_path / "pairs.safetensors"
    told = {"known": KNOWN, "values": {}, "text": TEXT}
    random_models.saved(path, random_models.UNET, task=task, **told)
    Path("in.png").write_bytes(encode_png(torch.zeros(1, 8, 8, dtype=torch.uint8)))
    words = ("sample", "-m", path, "--image", "in.png", "--task", "jpeg", "--value", "age=30")
    for place, more in (("a.png", "red"), ("b.png", "blue")):
        outcome = ddpm(*words, "--text", more, "-o", place)
        assert outcome.code == 0, outcome.err
    assert not torch.equal(open_image("a.png")[0], open_image("b.png")[0])
    assert record(Path("a.png"))["text"] == "red"
    assert is_made_again(Path("a.png"))
    away = ("--text", "red", "--negative", "blue", "--set", "guidance.scale=3")
    assert ddpm(*words, *away, "-o", "c.png").code == 0
    assert record(Path("c.png"))["negative"] == "blue"
    assert is_made_again(Path("c.png"))


class TestGuide:
    def test_text_guides_and_a_negative_one_is_fled(self, texts: Path) -> None:
        words = ("guide", "-m", texts, "--text", "red heart", "--scale", "5", "--seed", "3")
        assert "guidance scale 5" in ddpm(*words, "-o", "a.png").err
        assert ddpm(*words, "--negative", "blue", "-o", "b.png").code == 0
        assert ddpm("sample", *words[1:5], "--seed", "3", "-o", "c.png").code == 0
        pictures = [np.asarray(Image.open(name)) for name in ("a.png", "b.png", "c.png")]
        assert not np.array_equal(pictures[0], pictures[1])
        assert not np.array_equal(pictures[0], pictures[2])
        assert record(Path("b.png"))["negative"] == "blue"
        assert is_made_again(Path("b.png"))

    def test_numbers_guide(self, model: Path) -> None:
        words = ("guide", "-m", model, "--class", "none", "--value", "age=30", "--scale", "3")
        assert ddpm(*words, "-o", "a.png").code == 0
        assert record(Path("a.png"))["values"] == {"age": 30.0, "weight": None}

    def test_nothing_to_guide_towards_is_refused(self, texts: Path) -> None:
        outcome = ddpm("guide", "-m", texts, "-o", "a.png")
        assert (outcome.code, "nothing is; give --text" in outcome.err) == (2, True)


class TestImagesThatAreThere:
    @pytest.fixture(autouse=True)
    def image(self, here: Path) -> None:
        """A picture to work on."""
        pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8) * 3
        Path("in.png").write_bytes(encode_png(torch.from_numpy(pixels)))

    def test_latents_keep_what_was_told(self, model: Path) -> None:
        told = ("--class", "dog", "--text", "a", "--value", "age=30")
        words = ("encode", "in.png", "-m", model, "-o", "z.safetensors", "--steps", "4")
        assert ddpm(*words, *told).code == 0
        assert ddpm("sample", "--from", "z.safetensors", "-o", "a.png").code == 0
        said = record(Path("a.png"))
        assert (said["class"], said["text"]) == ("dog", "a")
        assert said["values"] == {"age": 30.0, "weight": None}
        again = ("sample", "--from", "z.safetensors", "--text", "b", "-o", "b.png")
        assert ddpm(*again).code == 0
        assert record(Path("b.png"))["text"] == "b"

    @pytest.mark.parametrize(
        "words",
        [
            ("inpaint", "in.png", "--mask", "2,2,6,6", "--labels", "text"),
            ("interpolate", "in.png", "in.png", "-n", "3", "--steps", "4"),
            ("upscale", "in.png", "--task", "deblur"),
        ],
    )
    def test_other_verbs_tell_and_say_it(self, words: tuple[str, ...], texts: Path) -> None:
        outcome = ddpm(*words, "-m", texts, "--text", "red heart", "-o", "a.png")
        assert outcome.code == 0, outcome.err
        assert record(Path("a.png"))["text"] == "red heart"
        assert is_made_again(Path("a.png"))

    def test_upscale_tells_what_its_input_says(self, texts: Path) -> None:
        assert ddpm("sample", "-m", texts, "--text", "red heart", "-o", "own.png").code == 0
        assert ddpm("upscale", "own.png", "-m", texts, "--task", "deblur", "-o", "a.png").code == 0
        assert record(Path("a.png"))["text"] == "red heart"


def test_a_model_of_texts_begins_one_that_fills_holes_by_text(texts: Path) -> None:
    """GLIDE's fine-tuning (Nichol 2022, section 2.3): at first the known pixels say nothing."""
    header, weights = checkpoint.load(texts)
    tables = {key: header.config[key] for key in ("network", "text", "data")}
    config = resolve([Layer("the test", {**tables, "task": {"name": "inpaint"}})])
    filling = build.trained(config, build.network(config, header.data))
    init(filling, model=str(texts))
    checkpoint.save(
        Path("f.safetensors"), filling.weights(), Header("model", config, header.data, 7)
    )
    Image.new("L", (8, 8), 99).save("in.png")
    drawn = []
    for text in ("red heart", "blue"):
        words = ("in.png", "--mask", "2,2,6,6", "-m", "f.safetensors", "--text", text)
        outcome = ddpm("inpaint", *words, "-o", f"{text}.png")
        assert outcome.code == 0, outcome.err
        assert record(Path(f"{text}.png"))["text"] == text
        drawn.append(np.asarray(Image.open(f"{text}.png")))
    assert (drawn[0] != drawn[1])[2:6, 2:6].any()
    assert (drawn[0] == 99)[:2].all()
    base = build.trained(header.config, build.network(header.config, header.data))
    base.load_weights(weights)
    x, sigma = torch.randn(2, 1, 8, 8), torch.tensor(0.7)
    told = {"text": kinds.recipe("text", config).rows(["red heart", None])}  # type: ignore[attr-defined]
    seen = torch.cat([x, torch.ones(2, 1, 8, 8)], dim=1)
    with torch.no_grad():
        same = filling.bind(**told, image=seen)(x, sigma).x0  # type: ignore[operator]
        assert torch.equal(same, base.bind(**told)(x, sigma).x0)  # type: ignore[operator]
