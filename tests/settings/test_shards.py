"""Parts of a job, by hand or as a scheduler tells them."""

import pytest

from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.shards import Shard, parse, part, place, refuse_shared


def slurm(index: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    """What Slurm tells a task of an array."""
    values = {"ID": index, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{key}": str(value) for key, value in values.items()}


@pytest.mark.parametrize(
    ("text", "shard"), [("1/1", (1, 1)), ("2/8", (2, 8)), (" 08 / 8", (8, 8))]
)
def test_parts_are_counted_from_one(text: str, shard: tuple[int, int]) -> None:
    assert parse(text, {}) == Shard(*shard)


@pytest.mark.parametrize("text", ["0/4", "5/4", "0/0", "1/0", "1/9999999"])
def test_there_is_no_other_part(text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        parse(text, {})


@pytest.mark.parametrize("text", ["", "3", "1/2/3", "a/4", "-1/4", "1.0/4", "1/4x", "\u0661/4"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(ConfigError, match="this is no shard; write part and parts, as 2/8"):
        parse(text, {})


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        (slurm(1, 1, 4, 4), (1, 4)),
        (slurm(0, 0, 3, 4), (1, 4)),
        (slurm(3, 0, 3, 4), (4, 4)),
        (slurm(12, 10, 14, 5), (3, 5)),
        (slurm(7, 1, 9, 5, step=2), (4, 5)),
        (slurm(1, 1, 1, 1), (1, 1)),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, (2, 3)),
        (
            {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}
            | {"SLURM_ARRAY_TASK_MIN": "0"},
            (3, 3),
        ),
        (
            {"SGE_TASK_ID": "5", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "9"}
            | {"SGE_TASK_STEPSIZE": "4"},
            (2, 3),
        ),
        (slurm(2, 1, 2, 2) | {"SGE_TASK_ID": "undefined"}, (2, 2)),
    ],
)
def test_a_scheduler_tells_the_part(environ: dict[str, str], shard: tuple[int, int]) -> None:
    assert parse("auto", environ) == Shard(*shard)


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "no job array"),
        ({"SGE_TASK_ID": "undefined", "LSB_JOBINDEX": "0"}, "no job array"),
        ({"PBS_ARRAY_INDEX": "3"}, r'PBS does not say how many.*--shard "\$PBS_ARRAY_INDEX/8"'),
        ({"LSB_JOBINDEX": "3"}, "LSF does not say how many"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "Slurm does not say how many"),
        ({"SLURM_ARRAY_TASK_ID": "x", "SLURM_ARRAY_TASK_COUNT": "3"}, "'x' is no number"),
        (slurm(3, 3, 7, 2), "misses some from 3 on; write --shard 3/N"),
        (slurm(9, 1, 9, 3), "misses some"),
        (slurm(3, 3, 3, 1), "misses some"),
        (slurm(4, 1, 9, 5, step=2), "misses some"),
        (slurm(0, 1, 4, 4), "no such shard|misses some"),
    ],
)
def test_an_array_that_leaves_it_open_is_refused(environ: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse("auto", environ)


def test_names_of_files_sort_by_number() -> None:
    assert [Shard(n, 12).label for n in (2, 12)] == ["02", "12"]


@pytest.mark.parametrize("total", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("size", [1, 2, 5, 64])
@pytest.mark.parametrize("count", [0, 1, 5, 11, 14])
def test_all_parts_in_their_order_are_the_job(count: int, size: int, total: int) -> None:
    job = [10 + number for number in range(count)]
    parts = [part(job, size, Shard(number + 1, total)) for number in range(total)]
    assert [item for some in parts for item in some] == job
    batches = [tuple(job[first : first + size]) for first in range(0, count, size)]
    if len(batches) >= total:  # whole ones are dealt
        mine = [
            some[first : first + size] for some in parts for first in range(0, len(some), size)
        ]
        assert [*map(tuple, mine)] == batches
        assert max(map(len, parts)) - min(map(len, parts)) < 2 * size
    else:
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_without_a_shard_all_is_done() -> None:
    assert part(range(3), 2, None) == range(3)


def test_a_million_images_are_dealt_without_listing_them() -> None:
    assert part(range(10**12), 64, Shard(2, 1000)) == range(10**9, 2 * 10**9)


def test_a_name_holds_the_number() -> None:
    assert place("a-{shard}.npz", Shard(3, 12)) == "a-03.npz"
    with pytest.raises(ConfigError, match=r"-o a-\{shard\}.npz: .*give --shard 1/8"):
        place("a-{shard}.npz", None)
    refuse_shared("a.npz", None)
    refuse_shared("a-{shard}.npz", Shard(3, 12))
    with pytest.raises(ConfigError, match=r"give -o b/a-\{shard\}.npz"):
        refuse_shared("b/a.npz", Shard(3, 12))
