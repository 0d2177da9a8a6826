"""Programs of torch.export: what they compute, and that nothing of a file ever runs as code."""

import contextlib
import copy
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ddpm_cli.errors import Refusal
from ddpm_cli.guides.parts import operators, programs

pytestmark = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 10),
    reason="this PyTorch writes an older format, which is refused",
)
SHAPE = (1, 6, 6)
TABLE = "data/weights/model_weights_config.json"
X = torch.linspace(-1, 1, 72).reshape(2, *SHAPE)
CONSTANTS = "data/constants/model_constants_config.json"
MODEL = "models/model.json"


class Score(nn.Module):
    """A small scorer with most of what networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.register_buffer("scale", torch.tensor([2.0]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(nn.functional.gelu(self.norm(self.convolution(x))))
        hidden = hidden.flatten(2).transpose(1, 2)
        hidden = hidden + self.attention(hidden, hidden, hidden)[0]
        first, second = hidden.split([1, 3], dim=2)
        return (first * second.amax(2, keepdim=True)).sum((1, 2)) * self.scale + torch.tensor(1.0)


class Classify(nn.Module):
    """A small classifier of noisy images."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.image, self.label = nn.Linear(36, classes), nn.Linear(1, classes)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.image(x.flatten(1)) + self.label(label[:, None].log1p())


class Function(nn.Module):
    """Any function of images as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def export(path: Path, module: nn.Module, *inputs: Tensor, free: bool = True) -> Path:
    """Write a program; `free` leaves the number of rows open."""
    shapes = tuple({0: torch.export.Dim("rows")} for _ in inputs) if free else None
    torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), path)
    return path


@pytest.fixture(scope="module")
def network() -> Score:
    torch.manual_seed(0)
    return Score().eval()


@pytest.fixture(scope="module")
def scorer(network: Score, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "score.pt2"
    return export(path, network, torch.randn(2, *SHAPE))


def entries(path: Path) -> dict[str, bytes]:
    """The entries of a program without their folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def pack(path: Path, content: dict[str, bytes], **options: Any) -> Path:
    """Write a program of these entries."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in content.items():
            archive.writestr(f"score/{name}", data)
    return path


def changed(path: Path, place: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A program whose entries `edit` has changed; those of JSON are given as objects."""
    content: dict[str, Any] = dict(entries(path))
    for name in (MODEL, TABLE, CONSTANTS):
        content[name] = json.loads(content[name])
    edit(content)
    packed = {k: v if isinstance(v, bytes) else json.dumps(v).encode() for k, v in content.items()}
    return pack(place / "changed.pt2", packed)


class Payload:
    """An object whose unpickling touches a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.canary,)


# ---- what a program computes


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_any_number_of_rows_goes_through_a_program_of_a_fixed_one(
    rows: int, network: Score, tmp_path: Path
) -> None:
    path = export(tmp_path / "a.pt2", network, torch.randn(rows, *SHAPE), free=False)
    program = programs.load(path)
    assert program.batch == rows
    x = torch.randn(5, *SHAPE, requires_grad=True)
    assert torch.allclose(program(x), network(x), atol=1e-5)
    (found,) = torch.autograd.grad(program(x).sum(), x)
    (wanted,) = torch.autograd.grad(network(x).sum(), x)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_an_open_number_of_rows_goes_through_at_once(network: Score, scorer: Path) -> None:
    program = programs.load(scorer)
    assert (program.batch, program.inputs[0].sizes) == (None, (None, *SHAPE))
    for rows in (1, 4):
        x = torch.randn(rows, *SHAPE)
        assert torch.allclose(program(x), network(x), atol=1e-6)


def test_torch_itself_gives_the_same(scorer: Path) -> None:
    x = torch.randn(3, *SHAPE)
    wanted = torch.export.load(scorer).module()(x)
    assert torch.allclose(programs.load(scorer)(x), wanted, atol=1e-5)


@pytest.mark.parametrize("decompose", [False, True])
def test_the_gradient_is_that_of_the_formula(decompose: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(36, 4)
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)).eval()
    nn.init.normal_(network[1].running_mean)
    nn.init.uniform_(network[1].weight, 1, 2)

    def function(x: Tensor) -> Tensor:
        return (network(x).flatten(2).transpose(1, 2) * weight).sum((1, 2))

    program = torch.export.export(Function(function), (X[:1],))
    torch.export.save(program.run_decompositions() if decompose else program, tmp_path / "a.pt2")
    x = torch.randn(1, *SHAPE, requires_grad=True)
    made = programs.load(tmp_path / "a.pt2")(x)
    assert torch.allclose(made, function(x), atol=1e-4)
    (found,) = torch.autograd.grad(made.sum(), x)
    # The network is affine, so any step gives its slope.
    steps = torch.eye(36).reshape(36, *SHAPE)
    slope = function(x + steps) - function(x)
    assert torch.allclose(found.flatten(), slope.detach(), atol=1e-3)


def test_a_classifier_takes_noise_labels(tmp_path: Path) -> None:
    network = Classify()
    path = export(tmp_path / "c.pt2", network, torch.randn(2, *SHAPE), torch.ones(2))
    x, label = torch.randn(3, *SHAPE), torch.tensor([0.0, 1.0, 999.0])
    logits = programs.classifier(path, "cpu", SHAPE).logits
    assert torch.allclose(logits(x, label), network(x, label), atol=1e-6)
    assert programs.classifier(path, "cpu", SHAPE).logits(x.double(), label).dtype == torch.float64


def test_a_scorer_gives_one_number_an_image(scorer: Path, tmp_path: Path) -> None:
    x = torch.randn(3, *SHAPE)
    assert programs.scorer(scorer, "cpu", SHAPE)(x).shape == (3,)
    column = export(tmp_path / "s.pt2", Function(lambda x: x.mean((2, 3))), x)
    assert torch.equal(programs.scorer(column, "cpu", SHAPE)(x), programs.load(column)(x)[:, 0])


def test_a_program_that_works_in_place_leaves_the_images_alone(tmp_path: Path) -> None:
    path = export(tmp_path / "p.pt2", Function(lambda x: x.relu_().mul_(3).sum((1, 2, 3))), X)
    program, x = programs.load(path), -torch.ones(2, *SHAPE)
    program(x)
    assert torch.equal(x, -torch.ones(2, *SHAPE))


def test_sizes_are_computed_on_the_way(tmp_path: Path) -> None:
    def function(x: Tensor) -> Tensor:
        mixed = x.reshape(x.shape[0] * 3, -1).softmax(1) / (x.shape[0] * 3)
        return mixed.reshape(x.shape[0], -1).amax(1)

    path = export(tmp_path / "s.pt2", Function(function), X)
    for rows in (1, 5):
        x = torch.randn(rows, *SHAPE)
        assert torch.allclose(programs.load(path)(x), function(x))


def test_every_operator_of_the_list_exists() -> None:
    for name in operators._ALLOWED:
        packet = getattr(torch.ops.aten, name)
        assert any(operators.find(f"torch.ops.aten.{name}.{one}") for one in packet.overloads())
    for name in operators._OWN:
        packet = getattr(torch.ops.aten, name.split(".")[3])
        assert name.split(".")[4] in packet.overloads()


# ---- what does not fit


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.mean(), "one number for all images"),
        (lambda x: x.mean((2, 3)).expand(-1, 4), "expected one an image"),
        (lambda x: (x.sum((1, 2, 3)), x), "2 outputs"),
        (lambda x: x.detach().sum((1, 2, 3)), "not differentiable"),
        (lambda x: x.flatten(1).argmax(1), "not differentiable"),
        (lambda x: x.sum((1, 2, 3)) + torch.randn(()), "randn"),
        (lambda x: nn.functional.dropout(x, 0.5, True).sum((1, 2, 3)), "training mode"),
        (lambda x: torch.where(x > 0, x, x.log()).as_strided((2,), (1,)), "as_strided"),
    ],
)
def test_programs_that_cannot_score_are_refused(
    function: Callable[..., Any], message: str, tmp_path: Path
) -> None:
    path = export(tmp_path / "mine.pt2", Function(function), X, free=False)
    with pytest.raises(Refusal, match=message) as caught:
        programs.scorer(path, "cpu", SHAPE)
    assert caught.value.message.startswith(f"{path}: ")


def test_a_network_in_training_mode_is_refused(tmp_path: Path) -> None:
    path = export(tmp_path / "t.pt2", nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()), X)
    with pytest.raises(Refusal, match=r"\.eval\(\)"):
        programs.load(path)


def test_images_of_another_shape_are_refused(scorer: Path) -> None:
    with pytest.raises(Refusal, match="takes 1x6x6, not 3x6x6"):
        programs.scorer(scorer, "cpu", (3, 6, 6))
    with pytest.raises(Refusal, match="takes 1x6x6, not 1x8x8"):
        programs.load(scorer)(torch.randn(2, 1, 8, 8))


def test_classifiers_and_scorers_are_told_apart(scorer: Path, tmp_path: Path) -> None:
    path = export(tmp_path / "c.pt2", Classify(), X, torch.ones(2))
    with pytest.raises(Refusal, match="it has 2 inputs, expected 1"):
        programs.scorer(path, "cpu", SHAPE)
    with pytest.raises(Refusal, match="it has 1 inputs, expected 2"):
        programs.classifier(scorer, "cpu", SHAPE)
    assert programs.classifier(path, "cpu", SHAPE).classes == 5


class Counting(torch.nn.Module):
    """Counts its calls in a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return x.mean((1, 2, 3)) * self.calls


def test_programs_that_remember_are_refused(tmp_path: Path) -> None:
    """Else an image would depend on those before it."""
    path = export(tmp_path / "n.pt2", Counting(), X)
    with pytest.raises(Refusal, match="changes its own tensors"):
        programs.scorer(path, "cpu", SHAPE)


def test_inputs_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = export(tmp_path / "h.pt2", Function(lambda x: x.sum((1, 2, 3))), X.double())
    with pytest.raises(Refusal, match="float64; export it with float32"):
        programs.scorer(path, "cpu", SHAPE)


# ---- that nothing runs


def test_pickles_under_any_name_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    raw, zipped = pickle.dumps(Payload(canary)), io.BytesIO()
    torch.save(Payload(canary), zipped)
    for name in ("a.pt2", "a.pt", "a.pth", "a.ckpt"):
        for data in (raw, zipped.getvalue()):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(Refusal, match=r"a pickle.*never read"):
                programs.load(tmp_path / name)
    assert not canary.exists()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "script.pt2"
    torch.jit.save(torch.jit.trace(nn.Flatten(), X), place)
    with pytest.raises(Refusal, match="TorchScript"):
        programs.load(place)


def test_sample_inputs_are_never_unpickled(scorer: Path, tmp_path: Path) -> None:
    payload = io.BytesIO()
    torch.save((Payload(tmp_path / "canary"),), payload)

    def plant(content: dict[str, Any]) -> None:
        content["data/sample_inputs/model.pt"] = payload.getvalue()

    path = changed(scorer, tmp_path, plant)
    assert torch.equal(programs.load(path)(X), programs.load(scorer)(X))
    assert not (tmp_path / "canary").exists()
    # PyTorch's own reader does run it, which shows that the payload is one.
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("table", "folder", "name"),
    [
        (TABLE, "data/weights/", "weight_0"),
        (CONSTANTS, "data/constants/", "tensor_0"),
        (CONSTANTS, "data/constants/", "custom_obj_0"),
        (CONSTANTS, "data/constants/", "opaque_obj_0"),
    ],
)
def test_pickled_tensors_and_objects_are_refused(
    table: str, folder: str, name: str, scorer: Path, tmp_path: Path
) -> None:
    payload = io.BytesIO()
    torch.save(Payload(tmp_path / "canary"), payload)

    def plant(content: dict[str, Any]) -> None:
        content[folder + name] = payload.getvalue()
        own = next(iter(content[table]["config"].values()))
        own.update(path_name=name, use_pickle=True, tensor_meta=None)

    with pytest.raises(Refusal, match="pickles, which can run code"):
        programs.load(changed(scorer, tmp_path, plant))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.serialization.os.system",
        "torch.load",
        "torch.hub.load",
        "_operator.methodcaller",
        "_operator.pow",
        "math.__loader__",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.as_strided.default",
        "torch.ops.aten.add.__class__",
        "torch.ops.aten.add.out",
        "torch.ops.aten.__class__.default",
        "torch.ops.mine.run.default",
        "torch.ops.higher_order.cond",
        "#mine:run",
        "os.system",
    ],
)
def test_calls_of_anything_but_tensor_operators_are_refused(
    target: str, scorer: Path, tmp_path: Path
) -> None:
    def plant(content: dict[str, Any]) -> None:
        node = content[MODEL]["graph_module"]["graph"]["nodes"][0]
        node["target"] = target
        node["inputs"] = [{"name": "", "kind": 1, "arg": {"as_string": f"touch {tmp_path}/c"}}]

    with pytest.raises(Refusal, match="not one that a program may use"):
        programs.load(changed(scorer, tmp_path, plant))
    assert not (tmp_path / "c").exists()


def test_no_text_of_a_program_is_evaluated(scorer: Path, tmp_path: Path) -> None:
    code = f"__import__('pathlib').Path({str(tmp_path / 'canary')!r}).touch()"

    def plant(content: dict[str, Any]) -> None:
        text = json.dumps(content[MODEL])
        model = content[MODEL] = json.loads(text.replace('"x"', json.dumps(f"x):\n {code}\n#")))
        meta = model["graph_module"]["graph"]["tensor_values"][f"x):\n {code}\n#"]
        meta["sizes"][0]["as_expr"]["expr_str"] = code
        model["guards_code"] = [code]
        model["range_constraints"] = {code: {"min_val": 0, "max_val": None}}

    path = changed(scorer, tmp_path, plant)
    assert torch.equal(programs.load(path)(X), programs.load(scorer)(X))
    assert not (tmp_path / "canary").exists()


def test_compiled_code_and_unknown_entries_are_refused(scorer: Path, tmp_path: Path) -> None:
    for name, why in (
        ("data/aotinductor/model/a.so", "compiled code"),
        ("data/weights/model.pt", "weights stored as pickles"),
        ("models/other.json", "models/other.json"),
        ("code/__torch__.py", "TorchScript"),
        ("../../x", "no exported program"),
    ):
        with pytest.raises(Refusal, match=why):
            programs.load(pack(tmp_path / "a.pt2", {**entries(scorer), name: b""}))


def test_the_old_format_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("version", "5.1")
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(Refusal, match=r"PyTorch before 2\.8"):
        programs.load(tmp_path / "old.pt2")


# ---- damage


def test_damaged_archives_are_refused(scorer: Path, tmp_path: Path) -> None:
    data = scorer.read_bytes()
    place = tmp_path / "damaged.pt2"
    for damaged in (b"", b"PK\x03\x04", data[: len(data) // 2], data[:-30], b"text", b"PK" * 50):
        place.write_bytes(damaged)
        with pytest.raises(Refusal, match=r"damaged\.pt2: "):
            programs.load(place)
    with pytest.raises(Refusal, match="No such file"):
        programs.load(tmp_path / "none.pt2")
    with pytest.raises(Refusal, match="not a regular file"):
        programs.load(tmp_path)
    pack(place, entries(scorer), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(Refusal, match="compressed"):
        programs.load(place)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 40_000), value=st.integers(0, 255))
def test_a_mutated_program_is_run_or_refused(at: int, value: int, scorer: Path) -> None:
    data = bytearray(scorer.read_bytes())
    data[at % len(data)] = value
    place = scorer.with_name("mutated.pt2")
    place.write_bytes(data)
    message = ""
    try:
        found = programs.load(place)(X)
    except Refusal as refusal:
        message = refusal.message
    else:
        assert torch.allclose(found, programs.load(scorer)(X), atol=1e-5)
    assert not message or message.startswith(f"{place}: ")


def _weight(content: dict[str, Any], **meta: Any) -> None:
    content[TABLE]["config"]["convolution.weight"]["tensor_meta"].update(meta)


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "sizes": lambda c: _weight(c, sizes=[{"as_int": 2**40}], strides=[{"as_int": 1}]),
    "negative": lambda c: _weight(c, storage_offset={"as_int": -1}),
    "strides": lambda c: _weight(c, strides=[{"as_int": 2**62}] * 4),
    "offset": lambda c: _weight(c, storage_offset={"as_int": 2}),
    "dtype": lambda c: _weight(c, dtype=99),
    "layout": lambda c: _weight(c, layout=2),
    "expression": lambda c: _weight(c, sizes=[{"as_expr": {"expr_str": "s0"}}] * 4),
    "not finite": lambda c: c.update({"data/weights/weight_0": b"\xff" * 144}),
    "missing": lambda c: c.pop("data/weights/weight_0"),
    "table": lambda c: c.update({TABLE: b"[]"}),
    "no JSON": lambda c: c.update({MODEL: b"{" * 10**5}),
    "deep JSON": lambda c: c.update({MODEL: b"[" * 10**5}),
    "version": lambda c: c[MODEL]["schema_version"].update(major=7),
    "archive": lambda c: c.update({"archive_version": b"7"}),
    "byte order": lambda c: c.update({"byteorder": b"big"}),
    "no graph": lambda c: c[MODEL].pop("graph_module"),
    "text": lambda c: c[MODEL]["graph_module"]["signature"].update(input_specs="ab"),
    "output": lambda c: c[MODEL]["graph_module"]["signature"].update(output_specs=[]),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_in_a_program_are_refused(lie: str, scorer: Path, tmp_path: Path) -> None:
    path = changed(scorer, tmp_path, LIES[lie])
    with pytest.raises(Refusal, match=r"changed\.pt2: "):
        programs.load(path)


def test_graphs_that_miss_a_call_fail_with_one_line(scorer: Path, tmp_path: Path) -> None:
    whole = json.loads(entries(scorer)[MODEL])
    nodes = whole["graph_module"]["graph"]["nodes"]
    for number, node in enumerate(nodes):
        if node["target"] == "torch.ops.aten.mean.dim":
            continue  # attention makes its mean weights, and nobody takes them
        broken = copy.deepcopy(whole)
        del broken["graph_module"]["graph"]["nodes"][number]
        content = {**entries(scorer), MODEL: json.dumps(broken).encode()}
        path = pack(tmp_path / "broken.pt2", content)
        with pytest.raises(Refusal, match=r"broken\.pt2: ") as caught:
            programs.load(path)(X)
        assert "\n" not in caught.value.message
