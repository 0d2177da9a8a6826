"""`ddpm inpaint`, end to end on a tiny model."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from runs import ddpm, replayed, train
from torch import Tensor

from ddpm_cli.files.images.pixels import encode_png, from_pillow, read_metadata

BOX = ("--mask", "2,2,6,6")


def png(path: Path, pixels: Tensor) -> Path:
    path.write_bytes(encode_png(pixels))
    return path


def pixels(path: Path) -> Tensor:
    with Image.open(path) as image:
        return from_pillow(image)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def hole(size: tuple[int, int] = (8, 8)) -> Tensor:
    """The box 2,2,6,6 as a mask."""
    plane = torch.zeros(1, *size, dtype=torch.uint8)
    plane[:, 2:6, 2:6] = 255
    return plane


@pytest.fixture(scope="module")
def conditional(data: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "inpaint"
    done = train(data, folder, "--set", "task.name=inpaint", "--init", finished)
    assert done.code == 0, done.err
    return folder


class Bench:
    """A folder with an image and the words that fill holes in it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.image = png(folder / "image.png", noise(1, 8, 8))

    def __call__(self, *words: object, model: Path | None = None) -> Any:
        return ddpm("inpaint", "-m", model or self.model, *words)

    def made(self, *words: object, name: str = "out.png", **others: Any) -> Tensor:
        """What a successful run of one image made of it."""
        done = self(self.image, *words, "-o", self.folder / name, "--force", **others)
        assert done.code == 0, done.err
        return pixels(self.folder / name)


@pytest.fixture
def bench(tmp_path: Path, finished: Path) -> Bench:
    return Bench(tmp_path, finished)


@pytest.mark.parametrize("method", ["auto", "replace", "posterior"])
def test_known_pixels_are_the_inputs(bench: Bench, method: str) -> None:
    got, given = bench.made(*BOX, "--method", method), noise(1, 8, 8)
    known = hole() == 0
    assert torch.equal(got[known], given[known])
    assert not torch.equal(got[~known], given[~known])


def test_a_model_trained_for_it_is_used(bench: Bench, conditional: Path) -> None:
    got, known = bench.made(*BOX, model=conditional), hole() == 0
    assert torch.equal(got[known], noise(1, 8, 8)[known])
    record = read_metadata(bench.folder / "out.png")
    assert "constraints" not in record["settings"]
    assert torch.equal(got, bench.made(*BOX, "--method", "model", model=conditional))
    both = bench.made(*BOX, "--method", "replace", model=conditional)
    assert not torch.equal(both, got)
    done = bench(bench.image, *BOX, "--method", "model")
    assert done.code == 2
    assert "not trained to fill holes" in done.err


def test_all_ways_to_give_a_mask_agree(bench: Bench) -> None:
    """A file, black on white, a box, transparency, RGB, one bit, and a folder of masks."""
    want = bench.made(*BOX)
    place = bench.folder / "masks"
    place.mkdir()
    mask = png(place / "image.png", hole())
    turned = png(bench.folder / "turned.png", 255 - hole())
    colour = png(bench.folder / "colour.png", hole().expand(3, 8, 8))
    bit = bench.folder / "bit.png"
    with Image.open(mask) as image:
        image.convert("1").save(bit)
    for given in (mask, colour, bit, place):
        assert torch.equal(bench.made("--mask", given), want)
    assert torch.equal(bench.made("--mask", turned, "--mask-keeps", "white"), want)
    clear = torch.cat([noise(1, 8, 8), 255 - hole()])
    bench.image = png(bench.folder / "clear.png", clear)
    got = bench.made("--mask", "alpha")
    assert got.shape == (2, 8, 8), "the image keeps its mode"
    assert bool((got[1] == 255).all()), "and is opaque"
    assert torch.equal(got[:1][hole() == 0], want[hole() == 0])


def test_soft_edges_are_cut_at_the_threshold(bench: Bench) -> None:
    soft = torch.zeros(1, 8, 8, dtype=torch.uint8)
    soft[0, 3] = torch.arange(8) * 36
    mask, given = png(bench.folder / "soft.png", soft), noise(1, 8, 8)
    for threshold, keeps in ((0.5, "black"), (0.1, "black"), (1.0, "black"), (0.3, "white")):
        got = bench.made("--mask", mask, "--threshold", threshold, "--mask-keeps", keeps)
        share = (255 - soft if keeps == "white" else soft) / 255
        assert torch.equal(got[share < threshold], given[share < threshold])
    assert (bench.made("--mask", mask)[0, 3, 4:] != given[0, 3, 4:]).any()


def test_folders_of_images_and_masks_go_together(bench: Bench) -> None:
    """By their names, whatever the order and the ending."""
    for folder in ("images", "masks"):
        (bench.folder / folder).mkdir()
    boxes = {"b": (0, 0, 4, 8), "a": (4, 0, 8, 8)}
    for number, (name, box) in enumerate(boxes.items()):
        png(bench.folder / "images" / f"{name}.png", noise(1, 8, 8, seed=number))
        plane = Image.new("L", (8, 8))
        plane.paste(255, box)
        plane.save(bench.folder / "masks" / f"{name}.bmp")
    out = bench.folder / "out"
    done = bench(bench.folder / "images", "--mask", bench.folder / "masks", "-o", out)
    assert done.code == 0, done.err
    assert torch.equal(pixels(out / "b.png")[..., 4:], noise(1, 8, 8, seed=0)[..., 4:])
    assert torch.equal(pixels(out / "a.png")[..., :4], noise(1, 8, 8, seed=1)[..., :4])
    png(bench.folder / "masks" / "a.png", hole())
    png(bench.folder / "masks" / "a.tiff", hole())
    bench.image = bench.folder / "images" / "a.png"
    assert torch.equal(bench.made("--mask", bench.folder / "masks"), bench.made(*BOX))
    (bench.folder / "masks" / "a.png").unlink()
    done = bench(bench.image, "--mask", bench.folder / "masks", "-o", bench.folder / "x.png")
    assert done.code == 1
    assert "2 masks are named a" in done.err


def test_an_image_from_a_pipe(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    want = bench.made(*BOX)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bench.image.read_bytes())))
    done = bench("-", *BOX, "-o", "-")
    assert done.code == 0, done.err
    with Image.open(io.BytesIO(done.binary)) as image:
        assert torch.equal(from_pillow(image), want)


def test_sampling_has_no_known_pixels(bench: Bench) -> None:
    setting = 'constraints=[{name="replace"}]'
    done = ddpm("sample", "-m", bench.model, "--set", setting, "-o", bench.folder / "x.png")
    assert done.code == 2
    assert "ddpm inpaint" in done.err


class TestPolarity:
    def test_a_mask_of_nothing_copies_the_image(self, bench: Bench) -> None:
        empty = png(bench.folder / "empty.png", torch.zeros(1, 8, 8, dtype=torch.uint8))
        done = bench(bench.image, "--mask", empty, "-o", bench.folder / "out.png")
        assert done.code == 0
        assert "the mask makes nothing anew, the image is copied" in done.err
        assert "--mask-keeps" not in done.err, "which would make all of it anew"
        assert torch.equal(pixels(bench.folder / "out.png"), noise(1, 8, 8))

    def test_a_mask_of_nearly_everything_warns(self, bench: Bench) -> None:
        done = bench(bench.image, "--mask", "0,0,8,8", "-o", bench.folder / "out.png")
        assert done.code == 0
        assert "100.0% of the image anew; --mask-keeps white turns it round" in done.err
        done = bench(bench.image, *BOX, "-o", bench.folder / "box.png")
        assert "Warning" not in done.err

    def test_one_pixel_is_enough(self, bench: Bench) -> None:
        got = bench.made("--mask", "3,4,4,5")
        assert (got != noise(1, 8, 8)).nonzero().tolist() in ([], [[0, 4, 3]])


class TestShares:
    def test_of_one_image(self, bench: Bench) -> None:
        done = bench(bench.image, *BOX, "-o", bench.folder / "out.png")
        assert done.err.splitlines()[-1] == "25.0% of the image is made anew"

    def test_of_many(self, bench: Bench) -> None:
        place = bench.folder / "masks"
        place.mkdir()
        for number, right in enumerate((1, 2, 4)):
            png(bench.folder / f"in-{number}.png", noise(1, 8, 8, seed=number))
            plane = Image.new("L", (8, 8), 3)
            plane.paste(4, (0, 0, right, 8))
            plane.save(place / f"in-{number}.png")
        inputs = sorted(bench.folder.glob("in-*.png"))
        done = bench(*inputs, "--mask", place, "-o", bench.folder / "out/")
        assert done.err.count("two levels, 3 stays and 4 is anew") == 1, "not for each file"
        assert done.err.splitlines()[-1] == "12.5% to 50.0% of each image is made anew"
        done = bench(*inputs, *BOX, "-o", bench.folder / "boxes/")
        assert done.err.splitlines()[-1] == "25.0% of each image is made anew"

    def test_what_is_around_counts(self, bench: Bench) -> None:
        done = bench(bench.image, "--extend", "8,0,0,0", "-o", bench.folder / "out.png")
        assert "50.0% of the image is made anew" in done.err


class TestSeveralMasks:
    def test_they_unite(self, bench: Bench) -> None:
        """Files, boxes and the image's own transparency, in any order."""
        mask = png(bench.folder / "mask.png", hole() // 255)
        clear = torch.full((1, 8, 8), 255, dtype=torch.uint8)
        clear[:, 7] = 0
        bench.image = png(bench.folder / "clear.png", torch.cat([noise(1, 8, 8), clear]))
        want = torch.zeros(8, 8, dtype=torch.bool)
        want[2:6, 2:6] = want[7] = want[0, 0] = True
        masks = ("--mask", mask, "--mask", "0,0,1,1", "--mask", "alpha")
        got = bench.made(*masks)
        assert torch.equal(got, bench.made(*masks[2:], *masks[:2]))
        assert torch.equal(got[:1, ~want], noise(1, 8, 8)[:, ~want])
        done = bench(bench.image, *masks, "-o", bench.folder / "x.png", "--json")
        assert json.loads(done.out)["anew"] == round(int(want.sum()) / 64, 6)
        told = ddpm("info", bench.folder / "out.png", "--command")
        assert told.out.count("--mask ") == 3

    def test_boxes_are_kept_together(self, bench: Bench) -> None:
        words = ("--mask", "0,0,2,8", "--mask", "6,0,8,8", "--mask-keeps", "white")
        got = bench.made(*words)
        assert torch.equal(got[..., :2], noise(1, 8, 8)[..., :2])
        assert torch.equal(got[..., 6:], noise(1, 8, 8)[..., 6:])
        done = bench(bench.image, *words, "-o", bench.folder / "x.png")
        assert "50.0% of the image is made anew" in done.err

    def test_boxes_have_no_transparency(self, bench: Bench) -> None:
        done = bench(bench.image, *BOX, "--mask-keeps", "clear", "-o", bench.folder / "x.png")
        assert done.code == 2
        assert "--mask-keeps clear: 2,2,6,6 has no alpha; choose black or white" in done.err


class TestFaults:
    @pytest.mark.parametrize(
        ("mask", "code", "message"),
        [
            ("none.png", 1, "none.png: No such file"),
            ("damaged.png", 1, "damaged.png: "),
            ("small.png", 1, "small.png: 7x8 pixels, its image {image} has 8x8"),
            ("alpha", 1, "has no transparency"),
            ("2,2,9,6", 1, "8x8 pixels, the box ends at 9,6"),
            ("2,2,6", 2, "no box; write left,top,right,bottom"),
            ("-1,2,6,6", 2, "no box; write left,top,right,bottom"),
            ("6,2,2,6", 2, "nothing is in this box"),
            ("folder", 1, "no mask has this name"),
        ],
    )
    def test_masks(
        self,
        bench: Bench,
        monkeypatch: pytest.MonkeyPatch,
        mask: str,
        code: int,
        message: str,
    ) -> None:
        monkeypatch.chdir(bench.folder)
        whole = png(Path("small.png"), hole()[..., :7])
        Path("damaged.png").write_bytes(whole.read_bytes()[:60])
        Path("folder").mkdir()
        done = bench(bench.image, f"--mask={mask}", "-o", "out.png")
        assert done.code == code
        assert message.format(image=bench.image) in done.err
        assert not Path("out.png").exists()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "what to make anew?"),
            (("--mask", ""), "--mask: an empty name"),
            ((*BOX, "--class", "all"), "--class all: several classes; give one"),
            (("--extend", "1,2,3"), "write pixels left,right,up,down"),
            (("--extend", "0,0,0,0"), "write pixels left,right,up,down"),
            (("--panorama", "9"), "write WIDTHxHEIGHT"),
            (("--panorama", "9x9", "--extend", "1,0,0,0"), "give one of them"),
            (("--extend", "1,0,0,0", "--fit", "crop"), "use pad"),
            ((*BOX, "--jump", "9"), "jumps of 9 levels do not fit"),
            ((*BOX, "--jump", "2", "--method", "model"), "not with --method model"),
            ((*BOX, "--class", "eleven"), "no class is named"),
            ((*BOX, "--steps", "2", "--calls", "3"), "give one of them"),
        ],
    )
    def test_words(self, bench: Bench, words: tuple[str, ...], message: str) -> None:
        done = bench(bench.image, *words, "-o", bench.folder / "out.png")
        assert done.code == 2
        assert message in done.err
        assert len(done.err.splitlines()) <= 4

    def test_a_panorama_smaller_than_the_image(self, bench: Bench) -> None:
        done = bench(bench.image, "--panorama", "9x7", "-o", bench.folder / "out.png")
        assert done.code == 1
        assert "larger than --panorama 9x7" in done.err

    def test_a_small_image_names_both_sizes(self, bench: Bench) -> None:
        small = png(bench.folder / "small.png", noise(1, 5, 6))
        done = bench(small, "--mask", "1,1,2,2", "-o", bench.folder / "out.png")
        assert done.code == 1
        assert "6x5 pixels, the model takes 8x8" in done.err

    def test_a_bad_input_does_not_stop_the_others(self, bench: Bench) -> None:
        bad = bench.folder / "bad.png"
        bad.write_bytes(b"nothing")
        done = bench(bad, bench.image, *BOX, "-o", bench.folder / "out/")
        assert done.code == 3
        assert "bad.png: a text file, no image" in done.err
        assert [path.name for path in (bench.folder / "out").iterdir()] == ["image.png"]


class TestSizes:
    def test_padding_comes_off_again(self, bench: Bench) -> None:
        small = noise(3, 5, 6)
        bench.image = png(bench.folder / "small.png", small)
        got = bench.made("--mask", "1,1,3,4", "--fit", "pad")
        assert got.shape == small.shape
        known = torch.ones(5, 6, dtype=torch.bool)
        known[1:4, 1:3] = False
        assert torch.equal(got[:, known], small[:, known])

    def test_masks_follow_what_is_resized(self, bench: Bench) -> None:
        bench.image = png(bench.folder / "large.png", noise(1, 16, 16))
        plain, got = (
            bench.made("--mask", box, "--fit", "resize") for box in ("0,0,1,1", "4,4,12,12")
        )
        assert got.shape == (1, 8, 8)
        changed = (plain != got)[0].nonzero()
        assert len(changed) > 4
        assert int(changed.min()) >= 2
        assert int(changed.max()) < 6

    def test_large_images_are_filled_by_windows(self, bench: Bench) -> None:
        large = noise(1, 13, 21)
        bench.image = png(bench.folder / "large.png", large)
        mask = torch.zeros(13, 21, dtype=torch.bool)
        mask[3:12, 6:20] = True
        got = bench.made("--mask", "6,3,20,12")
        assert torch.equal(got[0][~mask], large[0][~mask])
        assert (got[0][mask] != large[0][mask]).float().mean() > 0.9

    @pytest.mark.parametrize("fit", ["error", "pad"])
    def test_the_canvas_grows(self, bench: Bench, fit: str) -> None:
        got = bench.made("--extend", "4,0,0,3", "--fit", fit)
        assert got.shape == (1, 11, 12)
        assert torch.equal(got[:, :8, 4:], noise(1, 8, 8))
        assert got[:, :8, :4].float().std() > 0, "something is there"
        both = bench.made("--extend", "4,0,0,3", *BOX)
        known = torch.ones(8, 8, dtype=torch.bool)
        known[2:6, 2:6] = False
        assert torch.equal(both[0, :8, 4:][known], noise(1, 8, 8)[0][known])

    def test_a_panorama_has_the_image_in_its_middle(self, bench: Bench) -> None:
        got = bench.made("--panorama", "20x9")
        assert got.shape == (1, 9, 20)
        assert torch.equal(got[:, :8, 6:14], noise(1, 8, 8))

    def test_extended_colours_and_transparency_keep_their_mode(self, bench: Bench) -> None:
        image = torch.cat([noise(3, 8, 8), torch.full((1, 8, 8), 100, dtype=torch.uint8)])
        bench.image = png(bench.folder / "rgba.png", image)
        got = bench.made("--extend", "0,2,0,0")
        assert torch.equal(got[..., :8], image)
        assert bool((got[3, :, 8:] == 255).all())


class TestProposals:
    def test_each_depends_on_its_own_seed(self, bench: Bench) -> None:
        place = bench.folder / "out"
        done = bench(bench.image, *BOX, "-n", 3, "--seed", 5, "-o", place)
        assert done.code == 0, done.err
        assert done.out.split() == [str(place / f"image-00000{seed}.png") for seed in (5, 6, 7)]
        three = [pixels(path) for path in sorted(place.iterdir())]
        assert not torch.equal(three[0], three[1])
        alone = bench.made(*BOX, "--seed", 6)
        assert int((alone.int() - three[1].int()).abs().max()) <= 1
        assert bench(bench.image, *BOX, "-n", 3, "--seed", 5, "-o", place).code == 1
        again = bench(bench.image, *BOX, "-n", 4, "--seed", 5, "-o", place, "--skip-existing")
        assert again.out.split() == [str(place / "image-000008.png")]

    def test_windows_of_a_batch_are_each_images_own(self, bench: Bench) -> None:
        """Three images whose windows come in different order and number."""
        for number, size in enumerate([(8, 8), (8, 20), (17, 9)]):
            png(bench.folder / f"in-{number}.png", noise(1, *size, seed=number))
        words = ("--mask", "2,2,7,7", "--extend", "0,0,0,3")
        inputs = sorted(bench.folder.glob("in-*.png"))
        assert bench(*inputs, *words, "-o", bench.folder / "out").code == 0
        for path in inputs:
            bench.image = path
            together = pixels(bench.folder / "out" / path.name)
            assert int((bench.made(*words).int() - together.int()).abs().max()) <= 1

    def test_the_result_says_how_it_was_made(self, bench: Bench) -> None:
        words = ("--mask", "2,2,6,6", "--mask-keeps", "white", "--jump", 1, "--resample", 2)
        want = bench.made(*words, "--class", "3", "--seed", 4)
        again = replayed(bench.folder / "out.png")
        assert again[0] == "inpaint"
        assert ddpm(*again, "--force").code == 0
        assert torch.equal(pixels(bench.folder / "out.png"), want)
        record = read_metadata(bench.folder / "out.png")
        assert record["settings"]["constraints"] == [{"name": "replace"}]
        assert record["settings"]["edits"][0]["visits"] == [2]

    def test_the_class_is_none_unless_told(self, bench: Bench) -> None:
        none, three = bench.made(*BOX), bench.made(*BOX, "--class", "3")
        assert torch.equal(none, bench.made(*BOX, "--class", "none"))
        assert not torch.equal(none, three)


class TestPlan:
    def test_resampling_as_in_the_paper(self, bench: Bench) -> None:
        """T = 250, jumps of 10, 10 times: 2410 network calls."""
        words = (*BOX, "--steps", 250, "--jump", 10, "--resample", 10, "--dry-run")
        done = bench(bench.image, *words)
        assert done.code == 0, done.err
        assert "4570 steps, 2410 network calls" in done.err
        assert 'name = "jumps"' in done.out
        assert 'name = "replace"' in done.out

    def test_jumps_precede_other_edits_and_one_number_is_enough(self, bench: Bench) -> None:
        words = (*BOX, "--steps", 20, "--resample", 2, "--set", 'edits=[{name="churn"}]')
        done = bench(bench.image, *words, "--dry-run")
        assert done.code == 0, done.err
        assert done.out.index('name = "jumps"') < done.out.index('name = "churn"')
        assert "lengths = [10]" in done.out

    def test_calls_count_the_resampling(self, bench: Bench) -> None:
        words = (*BOX, "--calls", 60, "--jump", 2, "--resample", 3, "--dry-run")
        done = bench(bench.image, *words)
        calls = int(done.err.split(" network calls")[0].split()[-1])
        assert 50 <= calls <= 60

    def test_constraints_may_be_set_and_have_an_order(self, bench: Bench) -> None:
        setting = 'constraints=[{name="posterior"}]'
        plain = bench.made(*BOX, "--method", "posterior")
        assert torch.equal(bench.made(*BOX, "--set", setting), plain)
        done = bench(bench.image, *BOX, "--set", 'constraints=[{name="paste"}]')
        assert done.code == 2
        assert "no constraints is named 'paste'" in done.err

    def test_json_and_stdout(self, bench: Bench) -> None:
        done = bench(bench.image, *BOX, "-o", bench.folder / "out.png", "--json")
        line = json.loads(done.out)
        assert line["anew"] == 0.25
        assert line["seed"] == 0
        assert line["path"] == str(bench.folder / "out.png")
        done = bench(bench.image, *BOX, "-o", "-")
        assert done.binary == (bench.folder / "out.png").read_bytes()


@pytest.mark.parametrize("sampler", ["heun", "dpm-solver-pp-multi", "ode", "pc", "ald"])
def test_samplers_and_recipes(bench: Bench, sampler: str) -> None:
    if sampler == "ode":
        pytest.importorskip("torchdiffeq")
    few = ("--set", "sampler.rtol=0.1") if sampler == "ode" else ("--steps", 6)
    got, known = bench.made(*BOX, "--sampler", sampler, *few), hole() == 0
    assert torch.equal(got[known], noise(1, 8, 8)[known])


class TestPlanesByThemselves:
    def test_each_is_filled_as_alone(self, bench: Bench) -> None:
        colours = noise(3, 8, 12)
        bench.image = png(bench.folder / "colours.png", colours)
        words = ("--mask", "2,2,9,6", "--steps", 2)
        made = bench.made(*words, "--channels", "each", name="whole.png")
        known = torch.ones(8, 12, dtype=torch.bool)
        known[2:6, 2:9] = False
        assert torch.equal(made[:, known], colours[:, known])
        for number in range(3):
            bench.image = png(bench.folder / f"{number}.png", colours[number][None])
            alone = bench.made(*words, name="alone.png")
            assert int((alone[0].int() - made[number].int()).abs().max()) <= 1

    def test_grey_stays_grey(self, bench: Bench) -> None:
        bench.image = png(bench.folder / "grey.png", noise(1, 8, 8).expand(3, -1, -1))
        made = bench.made(*BOX, "--channels", "each", "--steps", 2)
        assert int((made.amax(0).int() - made.amin(0).int()).max()) <= 1

    def test_calls_and_command_say_it(self, bench: Bench) -> None:
        image = png(bench.folder / "colours.png", noise(3, 8, 8))
        out = bench.folder / "out.png"
        done = bench(image, *BOX, "--channels", "each", "--calls", 4, "-o", out, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["calls"] == 12
        assert "12 network calls for each window" in done.err
        assert "--channels each" in ddpm("info", out, "--command").out
