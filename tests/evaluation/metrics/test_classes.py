"""Inception score, histograms and agreement, by closed forms and other programs' numbers."""

import pytest
import torch
from feature_rows import normals, probabilities, side

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.metrics import class_agreement, class_histogram, inception_score

NONE = Evidence("reference", 0)


def told(p: torch.Tensor, labels: torch.Tensor | None = None, name: str = "side") -> Evidence:
    return Evidence(name, len(p), probabilities=p, labels=labels)


def one_hot(classes: torch.Tensor, count: int = 10) -> torch.Tensor:
    return torch.nn.functional.one_hot(classes, count).float()


def test_inception_score_is_torch_fidelitys() -> None:
    """Recorded of torch-fidelity 0.4.0."""
    said = inception_score(told(probabilities()), NONE)
    assert said.values["inception_score"] == pytest.approx(2.020481975460, abs=1e-9)
    deviation = said.details["inception_score"]["split_deviation"]
    assert deviation == pytest.approx(0.052208719197, abs=1e-9)
    assert said.errors["inception_score"] == pytest.approx(deviation / 10**0.5)


def test_inception_score_is_torch_fidelitys_where_it_is() -> None:
    theirs = pytest.importorskip("torch_fidelity.metric_isc")
    p = probabilities()
    wanted = theirs.isc_features_to_metric(p.log(), splits=7)
    said = inception_score(told(p), NONE, splits=7)
    mean = wanted["inception_score_mean"]
    assert said.values["inception_score"] == pytest.approx(mean, abs=1e-6)


def test_inception_score_is_the_number_of_classes_at_best_and_1_at_worst() -> None:
    best = one_hot(torch.arange(10).repeat(20))
    said = inception_score(told(best), NONE, splits=1)
    assert said.values["inception_score"] == pytest.approx(10)
    worst = torch.full((200, 10), 0.1)
    assert inception_score(told(worst), NONE).values["inception_score"] == pytest.approx(1)


def test_order_of_classes_does_no_harm() -> None:
    """Folders are sorted by class: parts in that order would hold one class each."""
    in_order = one_hot(torch.arange(10).repeat_interleave(100))
    assert inception_score(told(in_order), NONE).values["inception_score"] > 9


def test_histograms_differ_by_total_variation() -> None:
    ours = told(one_hot(torch.tensor([0, 0, 0, 1])))
    other = told(one_hot(torch.tensor([0, 2, 2, 1])))
    said = class_histogram(ours, other)
    assert said.values == {"class_histogram": 0.5}
    assert said.details["class_histogram"]["samples"] == [0.75, 0.25, 0]
    assert said.details["class_histogram"]["reference"] == [0.25, 0.25, 0.5]


def test_what_chance_makes_of_a_histogram() -> None:
    found, expected = [], []
    for seed in range(50):
        drawn = torch.rand(600, generator=torch.Generator().manual_seed(seed)).mul(10).long()
        said = class_histogram(told(one_hot(drawn[:400])), told(one_hot(drawn[400:])))
        found.append(said.values["class_histogram"])
        expected.append(said.details["class_histogram"]["expected_by_chance"])
    assert sum(found) / 50 == pytest.approx(sum(expected) / 50, rel=0.05)


def test_labels_stand_for_classes_where_none_are_seen() -> None:
    ours = Evidence("a", 2, labels=torch.tensor([0, 1]))
    other = Evidence("b", 2, labels=torch.tensor([1, 1]))
    assert class_histogram(ours, other).values == {"class_histogram": 0.5}
    with pytest.raises(Refusal, match="of one side are seen, of the other written"):
        class_histogram(ours, told(probabilities()))
    with pytest.raises(Refusal, match="side: no classes"):
        class_histogram(ours, side(normals(5, 2, 0)))


def test_agreement_is_a_share_with_its_error() -> None:
    seen, asked = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2])
    said = class_agreement(told(one_hot(seen), asked), NONE)
    assert said.values == {"class_agreement": 0.75}
    assert said.errors["class_agreement"] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert said.details["class_agreement"]["by_class"] == {0: 1, 1: 0.5, 2: 1}


def test_what_is_missing_is_refused() -> None:
    with pytest.raises(Refusal, match="side: no labels, which class-agreement takes"):
        class_agreement(told(probabilities()), NONE)
    with pytest.raises(Refusal, match="side: no class probabilities, which inception-score"):
        inception_score(side(normals(5, 2, 0)), NONE)
    with pytest.raises(Refusal, match="labels from 0 to 12"):
        class_agreement(told(probabilities()[:2], torch.tensor([0, 12])), NONE)
    with pytest.raises(Refusal, match="takes 20 or more"):
        inception_score(told(probabilities()[:19]), NONE)
