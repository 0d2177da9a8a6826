"""What the curves of a report show."""

from ddpm_cli.pipelines import report_curves


def test_measures_are_drawn_and_not_what_stands_beside_them():
    names = ["lr", "eval.fid", "eval.fid_error", "eval.n", "eval.seconds", "loss", "seconds", "x"]
    assert report_curves.ordered(names) == ["loss", "eval.fid", "x", "lr"]


def test_titles_are_words():
    assert report_curves.title("eval.class_agreement") == "class agreement of samples"
    assert report_curves.title("loss_q1") == "loss, cleanest quarter of levels"
