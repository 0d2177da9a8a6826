"""Sets as other programs pack them, made small for tests."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ddpm_cli.data.image_set import Data
from ddpm_cli.training.batches import Order, Share
from ddpm_cli.training.readers import Readers

ANIMALS = ["cat", "dog", "owl"]


def features(names: Sequence[str] = ANIMALS, image: str = "image") -> dict[bytes, bytes]:
    """What Hugging Face's datasets writes into the schema of a file."""
    listed = {image: {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": listed}}).encode()}


def parquet(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[Any] | None = None,
    *,
    metadata: dict[bytes, bytes] | None = None,
    group: int = 4,
    image: str = "image",
    is_struct: bool = True,
    **others: Sequence[Any],
) -> Path:
    """Write a Parquet file of images, in row groups of so many rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: Any = [{"bytes": data, "path": "x.png"} for data in images] if is_struct else images
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if is_struct else pa.binary()
    columns = {image: pa.array(rows, kind)}
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns | {name: pa.array(values) for name, values in others.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=group)
    return path


def read(data: Data, workers: int, ranks: int = 1, batch: int = 6, steps: int = 7) -> list[Any]:
    """The rows and classes of some steps as several processes see them, put together."""
    shares = [Share(rank, ranks) for rank in range(ranks)]
    seen: list[list[Any]] = []
    for share in shares:
        order = Order(len(data), 3, range(steps), batch, [share])
        with Readers(data, order, workers) as rows:
            seen.append([(x[:, 0, 0, 0].tolist(), told) for x, told in rows])
    joined = []
    for parts in zip(*seen, strict=True):
        colours = [value for values, _ in parts for value in values]
        classes = [told["classes"] for _, told in parts if "classes" in told]
        joined.append((colours, torch.cat(classes).tolist() if classes else []))
    return joined


def tar(path: Path, files: dict[str, bytes], kind: int = tarfile.USTAR_FORMAT) -> Path:
    """Write a tar archive of files, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path
