"""Ranks of texts by their nearness to images."""

import pytest
import torch

from ddpm_cli.evaluation.retrieval import ranks, summarized


def test_the_place_of_the_own_text_is_counted() -> None:
    texts = torch.eye(4)
    images = torch.tensor([[0.9, 0.1, 0.0, 0.2], [0.9, 0.1, 0.0, 0.2], [0.0, 0.0, 0.0, 0.0]])
    assert ranks(images, texts, torch.tensor([0, 2, 1])).tolist() == [1, 4, 2.5]


def test_equal_texts_share_their_places() -> None:
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert ranks(texts[:1], texts, torch.tensor([0])).tolist() == [1.5]


def test_what_is_said_of_ranks() -> None:
    said = summarized(torch.tensor([1.0, 1.0, 4.0, 20.0]).double(), 30)
    assert said["first"] == 0.5
    assert said["error"] == pytest.approx(0.25)
    assert (said["few"], said["mean_rank"], said["texts"]) == (0.75, 6.5, 30)
