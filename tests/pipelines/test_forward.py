"""The forward process in a picture: x_t of what is given, at each time that is asked for."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import ddpm, done, replayed

from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules.processes import ve
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.files.checkpoints import latents as latents_file
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.pixels import encode_png, open_image, to_uint8
from ddpm_cli.files.outputs import stills
from ddpm_cli.pipelines import forward
from ddpm_cli.pipelines.forward import Data


def drawn_to(name: str) -> None:
    generator = torch.Generator().manual_seed(ord(name[0]))
    pixels = torch.randint(0, 256, (1, 8, 8), generator=generator, dtype=torch.uint8)
    Path(name).write_bytes(encode_png(pixels, {}))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_panel_is_what_the_latent_at_its_time_is(finished: Path) -> None:
    drawn_to("a.png")
    drawn_to("b.png")
    words = ("encode", "a.png", "b.png", "-m", finished, "--method", "forward", "--seed", 5)
    done(*words, "--at", "0,50%,1000", "-o", "x.png")
    done(*words, "--at", "50%", "-o", "z.safetensors")
    z = latents_file.load(Path("z.safetensors")).z
    found = open_image("x.png", "L")[0]
    seen, place = to_uint8(z)[:, 0], 11 + 2  # a variance-preserving x_t has the deviation of z
    names, wide = 6 + 2, 24  # "a", and "1000" above a column
    for row in range(2):
        top, left = place + row * 10, names + 2 + (wide + 2) + (wide - 8) // 2
        tile = found[top : top + 8, left : left + 8]
        assert (tile.int() - seen[row].int()).abs().max() <= 1
        start = names + 2 + (wide - 8) // 2
        given = open_image("ab"[row] + ".png", "L")[0]
        assert torch.equal(found[top : top + 8, start : start + 8], given)


def test_it_says_how_it_was_made(finished: Path) -> None:
    drawn_to("a.png")
    done("encode", "a.png", "-m", finished, "--method", "forward", "--zoom", 2, "-o", "x.png")
    before = Path("x.png").read_bytes()
    done(*replayed("x.png"), "--force")
    assert Path("x.png").read_bytes() == before


def test_unless_told_it_stops_where_something_happens() -> None:
    stops = forward.stopping(None, cosine(), 6.0)
    levels = [float(sigma) for _, sigma in stops]
    assert len(levels) == 8
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert stops[-1][0] == "1000"
    assert all(0.01 < level < 10 for level in levels[1:-1])


def test_ways_have_the_law_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Var x_t = alpha^2 sigma_t^2 around alpha x0, Cov(x_s, x_t) = alpha_s alpha_t sigma_s^2."""
    monkeypatch.setattr(stills, "PATHS", 4000)
    info, schedule = DataInfo((1,), mean=(0.0,), std=(1.0,)), linear(steps=50)
    data = Data(torch.full((4000, 1), 0.5, dtype=torch.float64), [], list(range(4000)))
    lines = forward._ways(data, schedule, Randomness(), info, [])
    times, levels = forward.grid(schedule)
    assert torch.equal(lines.times, times)
    alphas = schedule.alpha(levels)
    x = lines.ways.double() / alphas[:, None]
    assert torch.allclose(x.mean(1), torch.full((51,), 0.5).double(), atol=4 * 159 / 63)
    early, late = x[20] - 0.5, x[35] - 0.5
    for value, right in ((early.var(), levels[20] ** 2), ((early * late).mean(), levels[20] ** 2)):
        assert float(value) == pytest.approx(float(right), rel=0.15)


def test_images_are_seen_where_the_process_explodes() -> None:
    schedule, info = ve(), DataInfo((1, 1, 1))
    x = 40 * torch.ones(2, 1, 1, 1)
    seen = stills.seen(x, torch.tensor(40.0).double(), schedule, info)
    assert float(seen.max()) == pytest.approx(1, abs=1e-3)


def test_numbers_and_points_have_panels(roll: Path) -> None:
    pytest.importorskip("matplotlib")
    Path("a.csv").write_text("x1,x2\n1,2\n-3,4\n")
    done("encode", "a.csv", "-m", roll, "--method", "forward", "--at", "0,50%", "-o", "x.png")
    with Image.open("x.png") as picture:
        assert picture.size == (55 + 2 * 140, 35 + 140)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "forward", "--at", "0,1001", "-o", "x.png"], "1001 is no step"),
        (["--method", "forward", "--at", "0,,5", "-o", "x.png"], "this is no time"),
        (["--method", "forward", "--at", "10%,50%"], "--at 10%,50%: latents are at one level"),
        (["--method", "forward", "-o", "x.png", "--class", "1"], "noise takes no account of it"),
        (["--method", "forward", "-o", "x.png", "--fast"], "noise takes no account of it"),
        (["-o", "x.png", "--zoom", "2"], "of a picture of --method forward"),
        (["-o", "x.png", "--at", "5"], "--at: only with --method forward"),
        (["-o", "x.txt"], "latents go to a .safetensors file"),
        (["-m", "mnist,mnist"], "this takes one model"),
    ],
)
def test_refusals(words: list[str], message: str, finished: Path) -> None:
    drawn_to("a.png")
    model = [] if "-m" in words else ["-m", finished]
    outcome = ddpm("encode", "a.png", *model, *words)
    assert outcome.code in (1, 2)
    assert message in outcome.err
    assert [path.name for path in Path().iterdir()] == ["a.png"]
