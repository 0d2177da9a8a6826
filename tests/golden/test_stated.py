"""Every recorded number is compared at its stated tolerance, or README.md says why not."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from golden.load_golden import COMPARED, FOLDER, Golden, Row, golden_tests, listed, looser
from golden.test_likelihood import LONG

SUBJECTS = sorted(
    path.stem
    for path in FOLDER.glob("*.json")
    if "cases" in json.loads(path.read_text(encoding="utf-8"))
)
LOOSER, LEFT_OUT = "Looser than stated", "Not compared"


def outputs(subject: str) -> Iterator[tuple[str, str, str]]:
    """Everything that is recorded of a subject."""
    for case in Golden(subject):
        for output in case.outputs:
            yield subject, case.id, output


def told(title: str) -> set[tuple[str, str, str]]:
    """The outputs of which a table of README.md speaks."""
    every = [output for subject in SUBJECTS for output in outputs(subject)]
    return {output for output in every for row in listed(title) if row.holds(*output)}


@pytest.mark.parametrize(
    "row", [*listed(LOOSER), *listed(LEFT_OUT)], ids=lambda row: f"{row.subject} {row.cases[0]}"
)
def test_every_row_speaks_of_what_is_there(row: Row) -> None:
    names = list(outputs(row.subject))
    for case in row.cases:
        for output in row.outputs:
            found = [n for n in names if fnmatchcase(n[1], case) and fnmatchcase(n[2], output)]
            assert found, f"{case} has no {output}"


def test_a_tolerance_of_our_own_is_looser_and_no_further_than_needed() -> None:
    for subject, case, output in told(LOOSER):
        stated = Golden(subject)[case].tolerance_of(output)
        assert stated["atol"] < (looser(subject, case, output) or 0), f"{case} {output}"
    for row in listed(LOOSER):
        allowed, measured, reason = (cell.strip() for cell in row.rest[:3])
        assert float(measured) <= float(allowed) <= 10 * float(measured)
        assert len(reason) > 10


def test_no_test_adds_to_a_tolerance() -> None:
    """An excess is compared with 0, or said to be above something."""
    for path in FOLDER.glob("test_*.py"):
        for line in re.findall(r"excess\(.*?\) <=? ?(\S+)", path.read_text(encoding="utf-8")):
            assert line.rstrip(",:") == "0", path.name


def test_every_number_is_compared_or_named(request: pytest.FixtureRequest) -> None:
    here = {item.path for item in request.session.items}
    chosen = request.config.option.keyword or any("::" in word for word in request.config.args)
    if chosen or not golden_tests() <= here:
        pytest.skip("not all golden tests were run")
    ran = {item.name for item in request.session.items}
    late = {
        ("likelihood", key, output)
        for key in LONG
        if f"test_flow_of_score_sde[{key}]" not in ran
        for output in Golden("likelihood")[key].outputs
    }
    every = {output for subject in SUBJECTS for output in outputs(subject)}
    missing = sorted(every - COMPARED - told(LEFT_OUT) - late)
    assert not missing, "\n".join(map(str, missing))
    both = sorted(COMPARED & told(LEFT_OUT))
    assert not both, "\n".join(map(str, both))
