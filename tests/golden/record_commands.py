"""Run a list of commands and keep what they made: `python record_commands.py FOLDER`.

Pixels and numbers are compared, not the bytes of files, as encoders of PNG differ. Kernels are
those of AVX2 and one thread, so that x86 machines agree with each other to the bit.
"""

import os

# Set before torch is imported.
os.environ |= {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OMP_NUM_THREADS": "1",
}

import contextlib
import hashlib
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLAIN = "--device cpu --dtype float32 --set compute.threads=1"
OLD = "--set compute.rng=torch"  # what made all noise of releases before format 2
ONE, TWO, THREE = (f"all/00000{number}.png" for number in (1, 2, 3))
BACK = "back/000001.png"
HOLE = "--mask 7,9,20,21"
TINY = (
    "--preset two-gaussians --steps 6 --batch 16 --set train.log_every=3 "
    "--set train.sheet_every=100 --seed 3"
)
DIGITS = (
    "--preset tiny --steps 4 --batch 8 --set train.flip=true --set train.drop_class=0.3 "
    "--set train.sheet_every=100 --set train.log_every=2 --set levels.count=4"
)

# Each line makes the file after `->`; later ones build on earlier ones.
COMMANDS = f"""
train {DIGITS} -o runs/digits {PLAIN} -> runs/digits/model.safetensors
train {DIGITS} --steps 6 -o runs/digits {PLAIN} -> runs/digits/state.safetensors
train {TINY} -o runs/points {PLAIN} -> runs/points/model.safetensors
sample -m mnist -n 4 --steps 5 -o plain.npz {PLAIN} -> plain.npz
sample -m mnist --seeds 3,9 --sampler heun --calls 9 --class 7,2 -o heun.png {PLAIN} -> heun.png
sample -m mnist -n 2 --sampler dpm++2m --steps 4 --trajectory walk.npz -o m.npz {PLAIN} -> walk.npz
sample -m mnist -n 2 --sampler ddpm --set sampler.variance=optimal --steps 5 -o opt.npz {PLAIN} \
    -> opt.npz
sample -m mnist -n 3 --sampler pc --steps 4 --batch 2 -o pc.npz {PLAIN} -> pc.npz
sample -m mnist -n 2 --sampler ode --set sampler.rtol=0.1 --set sampler.atol=0.1 --steps 2 \
    -o ode.npz {PLAIN} -> ode.npz
sample -m mnist -n 4 --class all --steps 2 -o all/ {PLAIN} -> {THREE}
sample -m runs/points -n 5 --steps 3 -o points.csv {PLAIN} -> points.csv
sample -m mnist --init {THREE} --at 40% -n 2 --steps 6 -o init.npz {PLAIN} -> init.npz
encode {ONE} {TWO} --steps 5 -m mnist -o latents.safetensors {PLAIN} -> latents.safetensors
encode {ONE} --method forward --at 400 -m mnist -o noisy.safetensors {PLAIN} \
    -> noisy.safetensors
sample --from latents.safetensors -o back/ {PLAIN} -> {BACK}
sample --from noisy.safetensors -o noisy.png {PLAIN} -> noisy.png
interpolate --seeds 1,2 -n 3 --steps 5 -m mnist -o strip.png {PLAIN} -> strip.png
interpolate {ONE} {TWO} -n 3 --steps 4 -m mnist -o ends.png {PLAIN} -> ends.png
interpolate {ONE} {TWO} -n 3 --at 50% --steps 4 -m mnist -o at.png {PLAIN} -> at.png
inpaint {ONE} {HOLE} -m mnist --steps 8 --jump 2 --resample 2 -o jump.png {PLAIN} -> jump.png
inpaint {ONE} {HOLE} -m mnist-inpaint --steps 4 -n 2 -o model.png {PLAIN} -> model.png
inpaint {ONE} --panorama 40x28 --method posterior -m mnist --steps 4 -o wide.png {PLAIN} \
    -> wide.png
upscale {BACK} --fit resize -m mnist-upscale --steps 4 -o up.png {PLAIN} -> up.png
upscale {BACK} --fit resize -m mnist-upscale --steps 4 --consistent -o fit.png {PLAIN} -> fit.png
upscale {BACK} --fit resize --method zero-shot -m mnist --factor 2 --steps 4 --class 3 \
    -o zero.png {PLAIN} -> zero.png
upscale {BACK} --task deblur -m mnist --steps 4 -o deblur.png {PLAIN} -> deblur.png
guide -m mnist --class 0-2 --scale 2 --interval 0.2,5 --steps 5 -o guided.npz {PLAIN} -> guided.npz
guide -m mnist --classifier mnist-classifier --class 4 -n 2 --unconditional --steps 5 \
    -o judged.npz {PLAIN} -> judged.npz
guide -m mnist --classifier mnist-classifier --class 4 -n 2 --sampler ddpm --grad-at mean \
    --steps 5 -o mean.npz {PLAIN} -> mean.npz
guide -m mnist --restore mask --image {ONE} {HOLE} -n 2 --steps 5 -o known.npz {PLAIN} \
    -> known.npz
guide -m mnist --restore upscale --image {ONE} --fit resize --set operator.factor=4 --scale 2 \
    -n 1 --steps 5 -o restored.npz {PLAIN} -> restored.npz
nll -m mnist --split test -n 2 --steps 4 --json --set compute.threads=1 -> -
nll -m mnist --split test -n 2 --method vlb --steps 4 --terms t.csv --json {PLAIN} -> t.csv
nll -m runs/points --split test -n 3 --steps 4 --json {PLAIN} -> -
fit runs/points -n 32 --grid 5 {PLAIN} -> runs/points/model.moments.safetensors
schedule -m mnist --set levels.count=6 -> -
schedule --preset mnist-ve --set levels.count=5 -> -
train {DIGITS} -o runs/old {OLD} {PLAIN} -> runs/old/model.safetensors
train {TINY} -o runs/old-points {OLD} {PLAIN} -> runs/old-points/model.safetensors
sample -m mnist -n 4 --steps 5 -o old.npz {OLD} {PLAIN} -> old.npz
sample -m mnist -n 3 --sampler pc --steps 4 --batch 2 -o old-pc.npz {OLD} {PLAIN} -> old-pc.npz
interpolate --seeds 1,2 -n 3 --steps 5 -m mnist -o old-strip.png {OLD} {PLAIN} -> old-strip.png
nll -m mnist --split test -n 2 --method vlb --steps 4 --terms old.csv --json {OLD} {PLAIN} \
    -> old.csv
fit runs/old-points -n 32 --grid 5 {OLD} {PLAIN} \
    -> runs/old-points/model.moments.safetensors
"""


def commands() -> Iterator[tuple[list[str], str]]:
    """The words of each command, and the file that is looked at; "-" is standard output."""
    for line in COMMANDS.replace("\\\n", " ").strip().splitlines():
        text, _, target = line.partition("->")
        yield shlex.split(text), target.strip()


def record() -> dict[str, Any]:
    """Run all commands in the current folder; what each made, by its words."""
    from ddpm_cli import cli

    made = {}
    for words, target in commands():
        out = io.TextIOWrapper(io.BytesIO(), "utf-8")
        with contextlib.redirect_stdout(out):
            code = cli.main(words)
            out.flush()
        if code:
            raise SystemExit(f"{shlex.join(words)}: exit {code}")
        path = Path(target)
        content = _printed(out.buffer.getvalue().decode()) if target == "-" else _content(path)
        made[" ".join(words).removesuffix(PLAIN).strip()] = content
    return made


def _content(path: Path) -> dict[str, Any]:
    """The numbers of a file, and what it says of its making."""
    import numpy as np
    from PIL import Image
    from safetensors import safe_open

    said: dict[str, Any] = {}
    if path.suffix == ".png":
        with Image.open(path) as image:
            said = json.loads(image.text["ddpm"])  # type: ignore[attr-defined]
            arrays = {"pixels": np.asarray(image)}
    elif path.suffix == ".npz":
        arrays = dict(np.load(path))
        text = {name: arrays.pop(name) for name in [*arrays] if arrays[name].dtype.kind in "SU"}
        said = {name: str(value) for name, value in text.items()}
    elif path.suffix == ".csv":
        return _printed(path.read_text())
    else:
        with safe_open(path, framework="np") as file:
            said = json.loads(file.metadata()["ddpm"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {"said": _steady(said), "sha256": _digest(arrays), **_summary(arrays)}


def _digest(arrays: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _summary(arrays: dict[str, Any]) -> dict[str, Any]:
    """A few numbers that say how far off other machines are."""
    import numpy as np

    return {
        "numbers": {
            name: np.asarray(value, dtype=np.float64).ravel()[:: max(value.size // 32, 1)].tolist()
            for name, value in sorted(arrays.items())[:8]
            if value.dtype.kind in "fiu"
        }
    }


def _steady(said: Any) -> Any:
    """A record without what may change from release to release."""
    if isinstance(said, dict):
        return {k: _steady(v) for k, v in said.items() if k != "version" and not _is_hash(v)}
    return said


def _is_hash(value: Any) -> bool:
    """Whether this is a model's hash, which a new setting changes with the header."""
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _printed(text: str) -> dict[str, Any]:
    """Text without what a clock said."""
    lines = [_without_clock(line) for line in text.splitlines()]
    return {"lines": lines}


def _without_clock(line: str) -> str:
    if not line.startswith("{"):
        return line
    values = json.loads(line)
    values.pop("seconds", None)
    return json.dumps(_steady(values))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    made = record()
    Path("recorded.json").write_text(json.dumps(made, indent=1) + "\n")
