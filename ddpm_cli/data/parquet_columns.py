"""Which columns of a Parquet file hold images, classes and texts, by names, types and features."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.data.texts import KEYS
from ddpm_cli.errors import ConfigError, Refusal

IMAGES = ("image", "img", "jpg", "png", "webp", "bytes", "image_bytes")
LABELS = ("label", "labels", "class", "cls", "target", "fine_label")
FEATURES = b"huggingface"  # the key of the schema's metadata
JSON_LIMIT = 2**24  # bytes of the features
SHOWN = 8  # columns that a message lists


class Columns(NamedTuple):
    """The paths of the columns that are read; classes: the names of a class's number."""

    image: str
    label: str | None = None
    text: str | None = None
    classes: tuple[str, ...] | None = None


def columns_of(path: Path, schema: Any, image: str, label: str, text: str = "") -> Columns:
    """Choose the columns of a file by its Arrow schema; image, label, text: those asked for."""
    features = _features(path, schema)
    found = _label(path, schema, features, label)
    return Columns(
        _image(path, schema, features, image),
        found,
        _text(path, schema, text),
        _classes(path, features.get(found)) if found else None,
    )


def _features(path: Path, schema: Any) -> dict[str, Any]:
    """What Hugging Face's datasets wrote of the columns."""
    stored = (schema.metadata or {}).get(FEATURES, b"{}")
    if len(stored) > JSON_LIMIT:
        raise Refusal(f"{path}: features of {len(stored)} bytes; the limit is {JSON_LIMIT}")
    try:
        listed = json.loads(stored)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}  # of another program, or damaged: the types tell what is needed
    return listed if isinstance(listed, dict) else {}


def _image(path: Path, schema: Any, features: Mapping[str, Any], asked: str) -> str:
    """The path of the column with the bytes of images."""
    there = {name: leaf for name in schema.names if (leaf := _leaf(schema, name))}
    if asked:
        if asked not in there:
            raise _no_column("image", "bytes of images", asked, path, schema)
        return there[asked]
    kinds = [name for name in there if _kind(features.get(name)) == "Image"]
    usual = [name for name in IMAGES if name in there]
    structs = [name for name in there if there[name] != name]
    for some in ([name for name in usual if name in kinds], kinds, usual, structs, [*there]):
        if len(some) == 1 or (some and some[0] in usual):
            return there[some[0]]
        if some:
            fix = f"choose one: --set data.image={some[0]}"
            raise Refusal(f"{path}: images in several columns: {', '.join(some[:SHOWN])}", fix)
    raise Refusal(
        f"{path}: no column holds image files: {_listed(schema)}",
        "they are bytes, or a struct of bytes and path, as datasets' feature Image writes it",
    )


def _leaf(schema: Any, name: str) -> str | None:
    """The path of the bytes within a column; None if it holds none."""
    import pyarrow

    kind = schema.field(name).type
    if pyarrow.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        if any(field.name == "bytes" and _is_bytes(field.type) for field in fields):
            return f"{name}.bytes"
        return None
    return name if _is_bytes(kind) else None


def _is_bytes(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _text(path: Path, schema: Any, asked: str) -> str | None:
    """The column of texts: the one asked for, else by its name; of words, or lists of them."""
    there = [name for name in schema.names if _is_text(schema, name)]
    if asked and asked not in there:
        raise _no_column("text", "texts", asked, path, schema)
    return asked or next((name for name in KEYS if name in there), None)


def _is_text(schema: Any, name: str) -> bool:
    import pyarrow

    kind = schema.field(name).type
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        kind = kind.value_type
    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _label(path: Path, schema: Any, features: Mapping[str, Any], asked: str) -> str | None:
    """The column of classes: the one asked for, else by its name, or the only one of the kind."""
    if asked:
        if asked not in schema.names or not _is_label(schema, asked):
            raise _no_column("label", "integers or words", asked, path, schema)
        return asked
    there = [name for name in schema.names if _is_label(schema, name)]
    kinds = [name for name in there if _kind(features.get(name)) == "ClassLabel"]
    usual = [name for name in LABELS if name in there]
    some = [name for name in usual if name in kinds] or kinds or usual
    if len(some) > 1 and some[0] not in usual:
        fix = f"choose one: --set data.label={some[0]}, or --set data.labels=none"
        raise Refusal(f"{path}: classes in several columns: {', '.join(some[:SHOWN])}", fix)
    return some[0] if some else None


def _is_label(schema: Any, name: str) -> bool:
    import pyarrow

    kind = schema.field(name).type
    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    tests = ("is_integer", "is_boolean", "is_string", "is_large_string")
    return any(getattr(pyarrow.types, test)(kind) for test in tests)


def _no_column(key: str, kind: str, asked: str, path: Path, schema: Any) -> ConfigError:
    what = f"data.{key}: no column {asked!r} of {kind} in {path}"
    return ConfigError(f"{what}; it has {_listed(schema)}")


def _listed(schema: Any) -> str:
    names: Sequence[str] = schema.names
    shown = ", ".join(f"{name} ({schema.field(name).type})" for name in names[:SHOWN])
    return shown + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)


def _kind(feature: Any) -> str:
    """What sort of feature datasets says a column is."""
    kind = feature.get("_type") if isinstance(feature, dict) else None
    return kind if isinstance(kind, str) else ""


def _classes(path: Path, feature: Any) -> tuple[str, ...] | None:
    """The names of the numbers of a ClassLabel."""
    names = feature.get("names") if _kind(feature) == "ClassLabel" else None
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refusal(f"{path}: the names of its classes are damaged")
    return tuple(names)
