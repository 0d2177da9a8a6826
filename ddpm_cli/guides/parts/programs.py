"""Programs that score images: what they get, what they must print, and how they can fail."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.pixels import encode_png

PNG, FOLDER, ARRAY = "{png}", "{folder}", "{npy}"
MOST = 1_000_000  # bytes that a program may print; numbers for a thousand images are far less
_LONGEST = 0.05  # seconds between two looks whether a program is done


class Program(NamedTuple):
    """A command that prints a number for each image, in their order, and nothing else.

    {png} stands for the names of the images as PNG files, a word each; {folder} for the folder
    that they lie in, 0000.png and on; {npy} for a file of their values, float32 [N, C, H, W] in
    [-1, 1], or rows [N, ...] in the units of the data. Without any of them the PNG files come
    behind the other words, or of rows the array. timeout: seconds until it is ended.
    """

    name: str
    words: Sequence[str]
    info: DataInfo
    timeout: float

    @classmethod
    def of(cls, name: str, words: Sequence[str], info: DataInfo, timeout: float) -> "Program":
        """A command that can be run; what is no program, or sees no images, is refused."""
        if not words:
            raise Refusal("--reward: an empty command", "give a program, or FILE.py:NAME")
        if shutil.which(words[0]) is None:
            fix = "name one that can be run, or FILE.py:NAME"
            raise Refusal(f"--reward {name}: no program {words[0]!r} is found", fix)
        if not info.is_image and any(mark in word for word in words for mark in (PNG, FOLDER)):
            raise Refusal(f"--reward {name}: of images, and this model makes rows", f"use {ARRAY}")
        if any(PNG in word and word != PNG for word in words):
            raise Refusal(f"--reward {name}: {PNG} is a word of its own", f"or use {FOLDER}")
        marks = (PNG, FOLDER, ARRAY)
        if not any(mark in word for word in words for mark in marks):
            words = [*words, PNG if info.is_image else ARRAY]
        return cls(name, words, info, timeout)

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of the files that its words name, as of a script."""
        files = [Path(word) for word in self.words if Path(word).is_file()]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]

    def scores(self, x: Tensor) -> list[float]:
        """What it prints of images [N, C, H, W] in [-1, 1], or of rows in their units."""
        with tempfile.TemporaryDirectory(prefix="ddpm-reward-") as name:
            said = self._run(self._with_images(x, Path(name)), Path(name))
        if said is None:  # asked to stop: the walk is given up before anybody reads these
            return [0.0] * len(x)
        return self._read(said, len(x))

    def _with_images(self, x: Tensor, folder: Path) -> list[str]:
        """Write the images where the command looks for them; its words."""
        names, array = [], folder / "images.npy"
        if any(mark in word for word in self.words for mark in (PNG, FOLDER)):
            (folder / "png").mkdir()
            for number, image in enumerate(self.info.scale.pixels(x).cpu()):
                path = folder / "png" / f"{number:04d}.png"
                path.write_bytes(encode_png(image))
                names.append(str(path))
        if any(ARRAY in word for word in self.words):
            np.save(array, x.cpu().numpy())
        every = [names if word == PNG else [word] for word in self.words]
        places = {FOLDER: str(folder / "png"), ARRAY: str(array)}
        return [_placed(word, places) for some in every for word in some]

    def _run(self, words: Sequence[str], folder: Path) -> str | None:
        """What it prints; None if ddpm is asked to stop meanwhile."""
        with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err:
            try:
                process = subprocess.Popen(  # noqa: S603  (whoever types the command asks for it)
                    words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
                )
            except OSError as error:
                what = f"--reward {self.name}: {error.strerror or error}"
                raise Refusal(what, "name a program that can be run") from None
            try:
                is_done = self._waited(process, out)
            finally:
                _end(process)
            if not is_done:
                return None
            if process.returncode:
                what = f"--reward {self.name}: {_ending(process.returncode)}{_last(err)}"
                raise Refusal(what, "it gets PNG files behind its words; end by 0")
            out.seek(0)
            return out.read().decode("utf-8", "replace")

    def _waited(self, process: "subprocess.Popen[bytes]", out: IO[bytes]) -> bool:
        """Wait for a program that may hang, or print without end; False if asked to stop."""
        began, pause = time.monotonic(), 0.001
        while process.poll() is None:
            if signals.requested():
                return False
            if time.monotonic() - began > self.timeout:
                fix = "give it longer: --set particles.timeout=600"
                raise Refusal(f"--reward {self.name}: no answer in {self.timeout:g} seconds", fix)
            if os.fstat(out.fileno()).st_size > MOST:
                break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        if os.fstat(out.fileno()).st_size > MOST:
            fix = "print a number for each image"
            raise Refusal(f"--reward {self.name}: it prints more than {MOST:,} bytes", fix)
        return True

    def _read(self, said: str, count: int) -> list[float]:
        """The numbers that were printed, one for each image."""
        printed, numbers = said.split(), list[float]()
        for word in printed:
            try:
                numbers.append(float(word))
            except ValueError:
                what = f"--reward {self.name}: it prints {one_line(word)[:40]!r}, no number"
                fix = "print a number for each image, and all else on stderr"
                raise Refusal(what, fix) from None
        if len(numbers) != count:
            what = f"--reward {self.name}: {count} images in, {len(numbers)} numbers out"
            raise Refusal(what, "print a number for each image, in their order")
        return numbers


def _placed(word: str, places: dict[str, str]) -> str:
    for mark, place in places.items():
        word = word.replace(mark, place)
    return word


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program, and what it has started, if it is still there."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ending(code: int) -> str:
    """How a program failed, in words."""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}"


def _last(err: IO[bytes]) -> str:
    """The last line that a program wrote on stderr."""
    err.seek(0, os.SEEK_END)
    err.seek(max(0, err.tell() - 4096))
    lines = [line for line in err.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {one_line(lines[-1])[:200]}" if lines else ""
