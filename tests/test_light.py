"""What says or refuses something imports none of the packages that take seconds."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import runs
from processes import ENVIRONMENT

from ddpm_cli import cli
from ddpm_cli.files.checkpoints import find
from ddpm_cli.settings import catalog

LIGHT = """
import json, sys
from ddpm_cli.cli import main
heavy = {"torch", "torchvision", "numpy", "PIL", "safetensors", "tqdm"}
assert not heavy & sys.modules.keys(), "the command line alone"
for code, words in json.load(sys.stdin):
    assert main(words) == code, words
    assert not heavy & sys.modules.keys(), (words, heavy & sys.modules.keys())
"""


USAGE = """
sample --frames 3
sample --frames 1 --trajectory walk.png
sample -n 0
sample -n few
sample --batch 0
sample --dtype x
sample --steps 0
sample --steps 2 --calls 3
sample --seeds 3-1
sample --seed -1
sample --seed 3 --seeds 1,2
sample -n 3 --seeds 1,2
sample --from a --init b
sample --init a.png
sample --at 40%
sample --fit crop
sample --background red
sample --aug-noise x
sample --set sampler.eta=a
sample --set sampler.eta=-1
sample --set sampler
sample --preset nothing
sample -m mnist,
sample -vv --sampler x
sample spare words
sample --value age
sample --value age=1:2
sample --text a --text-from b.txt
nll a.png --negative a
guide --interval 2
guide --interval 2,1
guide --scale -1
guide --scale 2 --omega 1
guide --rescale 2
guide --clip x
guide --cutouts 3 --class 7
guide --scorer x.py
guide --trust --class 7
guide --download --class 7
guide --restore mask
guide --restore mask --image a.png
guide --restore nothing
guide --image a.png --class 7
guide --mask 1,1,2,2 --class 7
guide --fit crop --class 7
guide --grad-at x --class 7
guide --unconditional --class 7
guide --frames 3 --class 7
eval mnist
eval --ref mnist:test --floor mnist
eval mnist --protocol digit
eval mnist --protocol digits --metric fid
eval mnist --protocol digits --ref mnist:train
eval mnist --ref mnist:tset
eval mnist --ref mnist:test --metric x
eval mnist --ref mnist:test --metric kid:x=3
eval mnist --ref mnist:test --features x
eval mnist --ref mnist:test --features x.py
eval mnist --ref mnist:test --write-stats x.txt
eval mnist --ref mnist:test --sampler x
eval mnist:train --ref mnist:test --steps 3
eval mnist --ref mnist:test --train mnist
convert
convert a.pt
convert a.pt b.safetensors -o c.safetensors
convert a.pt --from x -o b.safetensors
convert a.pt --as x -o b.safetensors
convert a.pt --weights x -o b.safetensors
convert mnist --to x b
convert mnist --to onnx b.onnx --weights model
encode
encode a.png --method forward
encode a.png --method forward --at 40% --steps 3
encode a.png --method x
encode a.png --at 40%
encode a.png --seed 3
encode a.png -o a.txt
interpolate a.png b.png --seeds 1,2
interpolate a.png b.png -n 0
interpolate a.png b.png --blend x
interpolate a.png b.png --at 40% --blend slerp
interpolate a.png b.png --seed 3
interpolate a.png b.png --speed 100
interpolate a.png b.png --speed 3 -o a.gif
interpolate --seeds 1,2 --fit crop
inpaint
inpaint a.png --method x
inpaint a.png --mask alpha --threshold 2
inpaint a.png --mask alpha --jump 0
inpaint a.png --mask alpha --seeds x
inpaint a.png --mask alpha --seed 1 --seeds 2
upscale
upscale a.png --factor x
upscale a.png --method x
upscale a.png --task x
upscale a.png --factor 4
upscale a.png --aug-noise 0.9
upscale a.png --downscale --fit crop
upscale a.png --downscale --task deblur
upscale a.png -n 2 --seeds 1
nll
nll a.png --method vlb --set typo
nll a.png --split test
nll a.png --class own
nll a.png --trace exact --probes 3
nll a.png --terms x.csv
nll a.png --method vlb --sampler heun
nll a.png --variance small
nll a.png --bits 9
nll a.png --fit pad
nll --data x
nll --split x
nll --split test -n 0
nll --split test --fit crop
fit --estimate norm --diagonal npr
fit --grid 1
fit --trajectory 1
fit --steps 5
fit --minutes 3
fit mnist spare
collect
collect a.png -o x.foo
collect a.png -o x.npz --zoom 2
collect a.png -o x/ --row-titles folder
collect a.png -o - --json
collect a.png --columns 0
collect a.png --columns 2 --column-titles class
collect a.png --labels {seed}
collect a.npz --seeds 3-1
info a.png spare
report
report ''
report mnist --sheets -1
report mnist --side 0
report mnist -o a.pdf
report mnist -o - --json
presets nothing
schedule --rows bad
schedule --rows -1
schedule --csv --json
schedule --preset nothing
selftest spare
selftest --dtype x
train --preset nothing
train --steps 0
train --lr x
train --minutes -1
train --dtype x
"""


def run(*commands: tuple[int, Sequence[object]]) -> None:
    """Run commands in one process, each with the exit code that it shall have."""
    told = json.dumps([(code, [str(word) for word in words]) for code, words in commands])
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        input=told, env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_help_and_lists() -> None:
    listed = [(0, ["train", "--list", kind]) for kind in [*catalog.KINDS, *catalog.FIXED]]
    helped = [(0, [name, "--help"]) for name in cli.ddpm.commands]
    run((0, ["--help"]), (0, ["presets"]), (0, ["presets", "mnist"]), *listed, *helped)


def test_wrong_usage_and_settings() -> None:
    wrong = ["--set", "smpler.eta=1"]
    run(
        (2, ["schedul"]),
        (2, ["presets", "minst"]),
        (2, ["schedule", *wrong]),
        (2, ["schedule", "-m", "mnist", *wrong]),
        (2, ["schedule", "--rows", "0"]),
        (2, ["schedule", "--csv", "--json"]),
        (1, ["schedule", "-m", "minst"]),
        (2, ["train", *wrong]),
        (2, ["train", "--set", "train.steps=many"]),
        (2, ["train", "--preset", "minst"]),
        (2, ["sample", "--sampler", "dimm"]),
        (2, ["selftest", "--devic", "cpu"]),
        (2, ["info", "mnist", "--command"]),
    )


def test_wrong_usage_of_every_verb() -> None:
    """Words that are missing, idle, contradictory, unknown or out of range."""
    lines = [*USAGE.strip().splitlines()]
    assert {line.split()[0] for line in lines} == set(cli.ddpm.commands)
    run(*((2, shlex.split(line)) for line in lines))


def test_info(finished: Path, tmp_path: Path) -> None:
    pictures, points = tmp_path / "a.png", tmp_path / "a.safetensors"
    words = ["-m", finished, "--steps", 3, "-o"]
    assert runs.ddpm("sample", *words, pictures).code == 0
    assert runs.ddpm("sample", *words, points).code == 0
    latent = tmp_path / "z.safetensors"
    assert runs.ddpm("encode", pictures, *words, latent).code == 0
    files = [pictures, points, latent]
    models = ["mnist", finished, finished / "state.safetensors", find.bundled()[-1]]
    moments = find.BUNDLED / "mnist.moments.safetensors"
    run(
        *((0, ["info", name, *more]) for name in models for more in ([], ["--toml"])),
        *((0, ["info", name, *more]) for name in files for more in ([], ["--json"])),
        *((0, ["info", name, "--command"]) for name in files[:2]),
        (0, ["info", moments]),
        (1, ["info", tmp_path / "missing"]),
    )
