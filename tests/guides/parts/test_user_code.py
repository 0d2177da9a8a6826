"""Code of users: what runs when it is loaded, what it leaves behind, how its faults are told."""

import contextlib
import hashlib
import io
import pickle
import py_compile
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.guides.parts import user_code, user_functions
from ddpm_cli.guides.parts.user_code import Code, Program
from ddpm_cli.settings import code_names

SHAPE = (1, 6, 6)
X = torch.linspace(-1, 1, 72).reshape(2, *SHAPE)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "judge.py") -> str:
    """Write a file in the current folder; the name of the function `judge` in it."""
    Path(name).write_text(text)
    return f"{name}:judge"


def export(path: str, module: nn.Module, *inputs: Tensor, free: bool = True) -> str:
    """Write a program; `free` leaves the number of rows open."""
    shapes = tuple({0: torch.export.Dim("rows")} for _ in inputs) if free else None
    torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), path)
    return path


class Score(nn.Module):
    """A small scorer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.norm(self.convolution(x))).amax(1).mean((1, 2))


class Classify(nn.Module):
    """A small classifier of noisy images."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.label = nn.Linear(36, 5), nn.Linear(1, 5)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.image(x.flatten(1)) + self.label(label[:, None].log1p())


@pytest.fixture
def network() -> Score:
    torch.manual_seed(0)
    return Score().eval()


def slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of the sum of what a function gives."""
    place = x.clone().requires_grad_()
    return torch.autograd.grad(function(place).sum(), place)[0]


# ---- what comes of it


class TestFiles:
    def test_function_is_the_one_of_the_file(self) -> None:
        name = written("import torch\ndef judge(x):\n    return torch.sin(x).sum((1, 2, 3))\n")
        code = user_code.load(name)
        assert code.sha256 == hashlib.sha256(Path("judge.py").read_bytes()).hexdigest()
        function = user_functions.scorer(code, CPU, SHAPE)
        assert torch.equal(function(X), X.sin().sum((1, 2, 3)))

    def test_value_and_gradient_are_those_of_the_function(self, network: Score) -> None:
        function = user_functions.scorer(Code("mine", "", network), CPU, SHAPE)
        for x in (X, X.double()):
            place = x.clone().requires_grad_()
            value = function.objective(lambda x0: function(x0.float()), place)
            assert value.dtype == x.dtype
            assert torch.equal(value, network(x.float()).to(x))
            (found,) = torch.autograd.grad(value.sum(), place)
            assert torch.equal(found, slope(network, x.float()).to(x))

    def test_scores_may_be_a_column(self) -> None:
        name = written("def judge(x):\n    return x.mean((2, 3))\n")
        assert user_functions.scorer(user_code.load(name), CPU, SHAPE)(X).shape == (2,)

    def test_classes_are_counted(self) -> None:
        name = written(
            "import torch\ndef judge(x, label):\n"
            "    return x.flatten(1)[:, :5] * 3 + label[:, None]\n"
        )
        function = user_functions.classifier(user_code.load(name), CPU, SHAPE)
        label = torch.tensor([1.0, 999.0])
        assert function.classes == 5
        assert torch.equal(function(X, label), X.flatten(1)[:, :5] * 3 + label[:, None])

    def test_images_stay_as_they_are(self) -> None:
        name = written("def judge(x):\n    return x.mul_(3).add_(1).sum((1, 2, 3))\n")
        function, x = user_functions.scorer(user_code.load(name), CPU, SHAPE), X.clone()
        function.objective(function, x)
        assert torch.equal(x, X)

    def test_an_edited_file_is_read_anew(self) -> None:
        name = written("def judge(x):\n    return 1 * x.sum((1, 2, 3))\n")
        user_code.load(name)
        written("def judge(x):\n    return 2 * x.sum((1, 2, 3))\n")
        function = user_functions.scorer(user_code.load(name), CPU, SHAPE)
        assert torch.equal(function(X), 2 * X.sum((1, 2, 3)))

    def test_modules_have_a_name_of_their_own(self) -> None:
        text = "import dataclasses\n@dataclasses.dataclass\nclass Holder:\n    x: 'int' = 1\n"
        code = user_code.load(written(f"{text}def judge(x):\n    return __name__\n", "torch.py"))
        assert code.function(X) not in ("torch", "__main__")
        assert sys.modules["torch"] is torch

    def test_what_is_printed_goes_to_standard_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = written(
            "print('loaded')\ndef judge(x):\n    print('called')\n    return x.sum(1)\n"
        )
        with pytest.raises(Refusal):
            user_functions.scorer(user_code.load(name), CPU, SHAPE)
        assert capsys.readouterr() == ("", "loaded\ncalled\n")


class TestNeighbours:
    TEXT = "from neighbour import FACTOR\ndef judge(x):\n    return FACTOR * x.sum((1, 2, 3))\n"

    def test_each_file_has_its_own(self) -> None:
        for folder, factor in (("one", 1), ("two", 2)):
            Path(folder).mkdir()
            written(f"FACTOR = {factor}\n", f"{folder}/neighbour.py")
            code = user_code.load(written(self.TEXT, f"{folder}/judge.py"))
            function = user_functions.scorer(code, CPU, SHAPE)
            assert torch.equal(function(X), factor * X.sum((1, 2, 3)))

    def test_nothing_is_left_behind(self) -> None:
        package = Path("package")
        package.mkdir()
        (package / "__init__.py").write_text("from package import inner\n")
        (package / "inner.py").write_text("")
        written("FACTOR = 1\n", "neighbour.py")
        path, writes, modules = [*sys.path], sys.dont_write_bytecode, set(sys.modules)
        user_code.load(written(f"import package\nimport wave\n{self.TEXT}"))
        assert (sys.path, sys.dont_write_bytecode) == (path, writes)
        new = {name for name in set(sys.modules) - modules if not name.startswith("_ddpm")}
        assert new <= {"wave", "chunk", "audioop"}, "what is installed may stay"
        assert not [*Path().rglob("*.pyc"), *Path().rglob("__pycache__")]

    def test_nothing_is_left_behind_by_a_file_that_fails(self) -> None:
        path, writes = [*sys.path], sys.dont_write_bytecode
        with pytest.raises(Refusal, match="ZeroDivisionError"):
            user_code.load(written("1 / 0\n"))
        assert (sys.path, sys.dont_write_bytecode) == (path, writes)

    def test_bytecode_beside_the_file_is_not_believed(self) -> None:
        name = written("def judge(x):\n    return 1\n")
        py_compile.compile(
            "judge.py", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
        written("def judge(x):\n    return 2\n")
        assert user_code.load(name).function(X) == 2


class TestPrograms:
    @pytest.mark.parametrize("rows", [1, 2, 3, None])
    def test_any_number_of_rows_goes_through(self, rows: int | None, network: Score) -> None:
        path = export("a.pt2", network, torch.randn(rows or 2, *SHAPE), free=rows is None)
        code, x = user_code.load(path), torch.randn(5, *SHAPE)
        assert code.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        program = code.on(CPU)
        assert isinstance(program, Program)
        assert program.rows == rows
        for count in (1, 2, 5):
            assert torch.allclose(program(x[:count]), network(x[:count]), atol=1e-6)
            assert torch.allclose(slope(program, x[:count]), slope(network, x[:count]), atol=1e-6)

    def test_it_is_what_torch_makes_of_it(self, network: Score) -> None:
        function = user_functions.scorer(user_code.load(export("a.pt2", network, X)), CPU, SHAPE)
        assert torch.equal(function(X), torch.export.load("a.pt2").module()(X))

    def test_classifier(self) -> None:
        network = Classify()
        path = export("c.pt2", network, X, torch.ones(2))
        function = user_functions.classifier(user_code.load(path), CPU, SHAPE)
        x, label = torch.randn(3, *SHAPE), torch.tensor([0.0, 1.0, 999.0])
        assert function.classes == 5
        assert torch.allclose(function(x, label), network(x, label), atol=1e-6)

    def test_images_of_another_shape(self, network: Score) -> None:
        code = user_code.load(export("a.pt2", network, X))
        with pytest.raises(Refusal, match=r"^a\.pt2: "):
            user_functions.scorer(code, CPU, (3, 6, 6))

    @pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04", pickle.dumps([1])])
    def test_other_files(self, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
        Path("a.pt2").write_bytes(content)
        with pytest.raises(Refusal, match=r"^a\.pt2: torch\.export\.load cannot read it\n"):
            user_code.load("a.pt2")
        assert not caplog.records

    def test_reading_one_can_run_code(self, network: Score) -> None:
        """Which is why it needs --trust."""
        payload = io.BytesIO()
        torch.save((Payload(),), payload)
        export("a.pt2", network, X)
        with zipfile.ZipFile("a.pt2") as old, zipfile.ZipFile("b.pt2", "w") as new:
            for entry in old.namelist():
                planted = entry.endswith(("sample_inputs/model.pt", "example_inputs.pt"))
                new.writestr(entry, payload.getvalue() if planted else old.read(entry))
        with contextlib.suppress(Refusal):
            user_code.load("b.pt2")
        assert Path("canary").exists()
        with pytest.raises(ConfigError, match=r"can run any code; add --trust"):
            code_names.refuse_unusable("scorer", "b.pt2", trust=False)
        code_names.refuse_unusable("scorer", "b.pt2", trust=True)


class Payload:
    """An object whose unpickling touches a file."""

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path("canary"),)


# ---- what does not fit


FAULTS = {
    "return x.mean()": r"2 images in, a result \[\] out",
    "return x.mean((2, 3)).expand(-1, 4)": r"2 images in, a result \[2, 4\] out",
    "return x[:1].sum((1, 2, 3))": r"2 images in, a result \[1\] out",
    "return (x.sum((1, 2, 3)), x)": "it gives a tuple, not a tensor",
    "return 1.0": "it gives a float, not a tensor",
    "return None": "it gives a NoneType, not a tensor",
    "return x.flatten(1).argmax(1)": "it gives int64, not float32",
    "return x.detach().sum((1, 2, 3))": "not differentiable",
    "return torch.zeros(len(x), requires_grad=True) + 1": "not differentiable",
    "raise KeyError": "line 3: KeyError$",
    "raise ValueError('so\\nand so')": "line 3: ValueError: so$",
    "return helper(x)": "line 3: NameError: name 'helper' is not defined$",
    "return torch.ones(3) @ x.sum((1, 2, 3))": "line 3: RuntimeError: ",
    "raise SystemExit(0)": "line 3: SystemExit: 0$",
    "return Broken.apply(x).sum((1, 2, 3))": "line 13: ValueError: no way back$",
    "return x.relu_().mul_(3).sum((1, 2, 3))": "RuntimeError: .* modified by an inplace operation",
}
BROKEN = """

class Broken(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("no way back")
"""


@pytest.mark.parametrize(("line", "message"), FAULTS.items())
def test_functions_that_cannot_score(line: str, message: str) -> None:
    name = written(f"import torch\ndef judge(x):\n    {line}\n{BROKEN}")
    code = user_code.load(name)
    with pytest.raises(Refusal) as caught:
        user_functions.scorer(code, CPU, SHAPE)
    first, *fixes = caught.value.message.splitlines()
    assert first.startswith("judge.py:judge: ")
    assert re.search(message, first), first
    assert len(fixes) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("return x.flatten(1)[:, :0].sum(1)", r"a result \[2\] out"),
        ("return x", r"a result \[2, 1, 6, 6\] out"),
        ("return x.detach().flatten(1)", "not differentiable"),
        ("return x.flatten(1)[:1]", r"a result \[1, 36\] out"),
    ],
)
def test_functions_that_cannot_classify(line: str, message: str) -> None:
    code = user_code.load(written(f"def judge(x, label):\n    {line}\n"))
    with pytest.raises(Refusal, match=message) as caught:
        user_functions.classifier(code, CPU, SHAPE)
    assert "a classifier takes" in caught.value.message or "leave out" in caught.value.message


def test_a_classifier_is_no_scorer_and_the_other_way_round() -> None:
    scorer = user_code.load(written("def judge(x):\n    return x.sum((1, 2, 3))\n", "a.py"))
    classifier = user_code.load(written("def judge(x, t):\n    return x.flatten(1)\n", "b.py"))
    with pytest.raises(Refusal, match=r"TypeError.*positional"):
        user_functions.classifier(scorer, CPU, SHAPE)
    with pytest.raises(Refusal, match=r"TypeError.*positional"):
        user_functions.scorer(classifier, CPU, SHAPE)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: x.log().sum((1, 2, 3)), "its result"),
        (lambda x: (x - x.detach()).abs().sqrt().sum((1, 2, 3)), "its gradient"),
    ],
)
def test_numbers_that_are_not_finite(function: Callable[..., Tensor], what: str) -> None:
    scorer = user_functions.scorer(Code("mine", "", function), CPU, SHAPE)
    with pytest.raises(Refusal, match=f"^mine: {what} is not finite"):
        scorer.objective(scorer, X - 3)


def test_an_image_that_is_not_finite_is_no_fault_of_the_function() -> None:
    scorer = user_functions.scorer(Code("mine", "", lambda x: x.sum((1, 2, 3))), CPU, SHAPE)
    assert not scorer.objective(scorer, torch.full((1, *SHAPE), torch.inf)).isfinite().all()


def test_a_result_that_changes_its_shape_is_refused_when_it_does() -> None:
    scorer = user_functions.scorer(
        Code("mine", "", lambda x: x.sum((1, 2, 3))[: max(len(x) // 2 * 2, 0)]), CPU, SHAPE
    )
    with pytest.raises(Refusal, match=r"^mine: 3 images in, a result \[2\] out"):
        scorer.objective(scorer, torch.zeros(3, *SHAPE))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("too much")])
def test_want_of_memory_is_told_as_such(error: Exception) -> None:
    def judge(x: Tensor) -> Any:
        raise error

    with pytest.raises(type(error)):
        user_functions.scorer(Code("mine", "", judge), CPU, SHAPE)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "no.py:judge", "No such file"),
        ("", "f.py:judge", "no judge is in the file\nthere is none to choose from"),
        ("def judges(x): ...", "f.py:judge", "no judge is in the file\ndid you mean judges?"),
        ("judge = 3", "f.py:judge", "judge is no function, but of type int"),
        ("def judge(x:\n", "f.py:judge", "line 1: SyntaxError: "),
        ("import nowhere_at_all", "f.py:judge", "line 1: ModuleNotFoundError: No module"),
        ("import sys\nsys.exit(0)", "f.py:judge", "line 2: SystemExit: 0"),
        ("a = '\0'", "f.py:judge", "SyntaxError|ValueError"),
    ],
)
def test_files_without_the_function(text: str | None, name: str, message: str) -> None:
    if text is not None:
        Path("f.py").write_text(text)
    with pytest.raises(Refusal, match=message.replace("?", r"\?")) as caught:
        user_code.load(name)
    assert caught.value.message.startswith(f"{name}: ")
    assert len(caught.value.message.splitlines()) == 2
    Path("folder.py").mkdir()
    with pytest.raises(Refusal, match=r"^folder\.py:judge: Is a directory"):
        user_code.load("folder.py:judge")
