"""Emoji as a set of images with captions, which `[data] name` can choose."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ddpm_cli.data import colour_words, depths, emoji_names
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.loading import Wish, decode, file_set, threaded
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.places import needed
from ddpm_cli.data.sources import Archive, Files, Folder
from ddpm_cli.errors import Refusal
from ddpm_cli.settings.knobs import Fraction, Index, Side

HELD = (
    "green heart", "purple heart", "orange circle", "brown circle", "yellow square", "blue book",
)  # fmt: skip
SEEN = 32  # pixels a side in which colours are counted


def emoji(
    split: Literal["train", "test"],
    *,
    path: str = "",
    captions: Literal["both", "usual", "formal"] = "both",
    held: Sequence[str] = HELD,
    size: Side = 0,
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    fit: Literal["error", "resize", "crop"] = "error",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
) -> ImageSet:
    """Emoji named by their code points, as 1f600.png, in a zip file or a folder, with captions.

    captions: usual has the colour that most of a picture has and what people call it, as "red
    heart"; formal has Unicode's names, as "heavy black heart"; both draws one of them each time.
    held: words of captions for test alone: those with all words of one of these are never
    trained on, as a colour and a shape that are each seen with others. Other knobs as for
    folder; transparent pixels are white unless mode is RGBA.
    """
    files = _files(needed(path))
    wish = Wish(size, mode, (), fit, "none", holdout, skip_corrupt, memory)
    texts = _captions(files, wish, captions)
    told = Told(text=texts.get, notes=_notes(files, texts), held=_held(texts, held))
    return file_set(files, split, wish, told)


def _files(place: Path) -> Files:
    files = Archive(place) if zipfile.is_zipfile(place) else Folder(place)
    if not any(emoji_names.points(name) for name in files.names):
        what = f"{files.place(files.names[0])}: its name is no code points, as 1f600.png is"
        name = "archive" if isinstance(files, Archive) else "folder"
        raise Refusal(what, f"for other images: --set data.name={name}")
    return files


def _captions(files: Files, wish: Wish, chosen: str) -> dict[str, str]:
    """The captions of all files that have any, a line each."""
    found = {name: emoji_names.spelled(emoji_names.points(name) or []) for name in files.names}
    named = {name: words for name, words in found.items() if words is not None}
    things = [name for name, words in named.items() if words.is_thing]
    colours = dict(zip(things, _colours(files, things, wish), strict=True))
    texts = {}
    for name, words in named.items():
        usual, *formal = emoji_names.captions(words, colours.get(name))
        kept = {"both": [usual, *formal], "usual": [usual], "formal": [words.formal]}
        texts[name] = "\n".join(kept[chosen])
    return texts


def _colours(files: Files, names: Sequence[str], wish: Wish) -> list[str | None]:
    """The colour that most of each picture has, if any."""
    reading = depths.settled(files, names, "RGBA", ())
    seen = wish._replace(size=SEEN, mode="RGBA", fit="resize")

    def look(index: int) -> str | None:
        try:
            return colour_words.main(decode(files, names[index], seen, reading)[0])
        except (Refusal, OSError):  # which is said where the set is read
            return None

    return list(threaded(look, len(names)))


def _held(texts: Mapping[str, str], held: Sequence[str]) -> tuple[str, ...]:
    """The files of which a caption has all words of one kept for test, the shortest ones first."""
    wanted = [set(words.lower().split()) for words in held if words.strip()]

    def is_held(line: str) -> bool:
        words = set(line.replace(",", "").split())
        return any(each <= words for each in wanted)

    found = [name for name, lines in texts.items() if any(map(is_held, lines.splitlines()))]
    return tuple(sorted(found, key=lambda name: (len(texts[name]), name)))


def _notes(files: Files, texts: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be said of files without a caption."""
    without = [name for name in files.names if name not in texts]
    if not without:
        return ()
    count = f"{len(without)} of {len(files.names)} images have no caption"
    return (f"{files.place(without[0])}: no name of Unicode's for it; {count}",)
