"""Rows that are held once each."""

import pickle

import torch

from ddpm_cli.data.repeated import Repeated


def test_rows_are_those_of_their_numbers_here_and_in_other_processes() -> None:
    table = torch.randn(3, 4, 2)
    for numbers in (torch.tensor([2, 0, 0, 1]), torch.tensor([[2, 0], [0, 1]])):
        rows = pickle.loads(pickle.dumps(Repeated(table, numbers)))  # noqa: S301
        some = torch.tensor([1, 0])
        assert torch.equal(rows[some], table[numbers[some]])
        assert torch.equal(rows[:], table[numbers])
        assert torch.equal(rows.on(torch.device("cpu"))[1:], table[numbers[1:]])
