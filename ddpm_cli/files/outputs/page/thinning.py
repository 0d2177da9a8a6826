"""Fewer points of a curve that looks the same."""

import math
from collections.abc import Sequence

KEPT = 5  # of a bucket at most: first, last, least, most, and one that is not finite


def thinned(values: Sequence[float], limit: int) -> list[int]:
    """Places of at most about `limit` values that are to be drawn.

    Equal buckets of places keep their first, last, least and most (M4, Jugel 2014), and a value
    that is not finite, which breaks the curve.
    """
    count = len(values)
    if count <= limit:
        return list(range(count))
    buckets = max(limit // KEPT, 1)
    kept: set[int] = set()
    for number in range(buckets):
        places = range(number * count // buckets, (number + 1) * count // buckets)
        finite = [place for place in places if math.isfinite(values[place])]
        kept |= set([place for place in places if not math.isfinite(values[place])][:1])
        if finite:
            kept |= {finite[0], finite[-1]}
            kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
    return sorted(kept)


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` of so many places, evenly, the first and the last among them."""
    if count <= limit:
        return list(range(count))
    if limit == 1:
        return [count - 1]
    return sorted({round(n * (count - 1) / (limit - 1)) for n in range(limit)})
