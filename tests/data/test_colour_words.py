"""Words for colours: what emoji are drawn in, by what they are called."""

import pytest
import torch

from ddpm_cli.data import colour_words

# Hearts, circles and squares of Twemoji, which are one colour each.
DRAWN = {
    "red": ["DD2E44", "BE1931", "A0041E"],
    "orange": ["F4900C", "FFAC33"],
    "yellow": ["FDCB58", "FFCC4D"],
    "green": ["78B159", "77B255", "3E721D"],
    "blue": ["55ACEE", "5DADEC", "226699", "BDDDF4"],
    "purple": ["AA8ED6", "9266CC"],
    "brown": ["C1694F", "662113"],
    "black": ["31373D", "292F33", "000000"],
    "white": ["E6E7E8", "FFFFFF"],
    "grey": ["99AAB5", "66757F"],
    "pink": ["F4ABBA", "FF679A"],
}


def filled(code: str, opacity: int = 255) -> torch.Tensor:
    """An image of one colour."""
    values = [*bytes.fromhex(code), opacity]
    return torch.tensor(values, dtype=torch.uint8).reshape(4, 1, 1).repeat(1, 4, 4)


@pytest.mark.parametrize(
    ("word", "code"), [(word, code) for word, codes in DRAWN.items() for code in codes]
)
def test_colours_are_called_what_they_are(word: str, code: str) -> None:
    assert colour_words.main(filled(code)) == word


def test_only_opaque_pixels_count_and_most_of_them() -> None:
    image = filled("DD2E44")
    image[:, :2] = filled("226699", 0)[:, :2]
    assert colour_words.main(image) == "red"
    image[:, 2, :3] = filled("226699")[:, 2, :3]
    assert colour_words.main(image) == "red"
    image[:, 3, :2] = filled("77B255")[:, 3, :2]
    assert colour_words.main(image) is None
    assert colour_words.main(filled("DD2E44", 0)) is None
