"""Model cards: front matter that the hub can read, and no more than the header knows."""

from typing import Any

import pytest

from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.outputs import model_card

SOURCE: dict[str, Any] = {
    "format": "guided-diffusion",
    "file": "64x64|diffusion.pt",
    "sha256": "abc",
    "release": None,
    "weights": "ema",
    "told": {"schedule": {"name": "cosine"}},
    "assumed": {"network.heads": {"value": 4, "why": "nearly always"}},
    "notes": ["It never saw the null class."],
    "licence": "MIT",
    "hub": {"repository": "owner/name", "address": "hf:owner/name"},
}


def bundled(name: str = "mnist") -> Header:
    return read_header(find.BUNDLED / f"{name}.safetensors")


def front(text: str) -> dict[str, str]:
    """The lines of the front matter by their keys."""
    _, yaml, _ = text.split("---\n", 2)
    return dict(line.split(": ", 1) for line in yaml.splitlines())


def test_a_model_of_ours() -> None:
    text = model_card.card(bundled(), "Digits", "    ddpm sample", parameters=2600644)
    fields = front(text)
    assert fields["library_name"] == '"ddpm-cli"'
    assert fields["pipeline_tag"] == '"unconditional-image-generation"'
    assert fields["datasets"] == '["ylecun/mnist"]'
    assert '"ddpm"' in fields["tags"]
    assert "license" not in fields
    assert "None is stated yet" in text
    for told in ("# Digits\n", "ddpm sample", "2,600,644", "5,400", 'name = "cosine"', "691,200"):
        assert told in text, told


def test_a_converted_model_names_its_source_and_no_training_of_ours() -> None:
    header = bundled()._replace(source=SOURCE, step=0)
    text = model_card.card(header, "t", "u")
    fields = front(text)
    assert fields["license"] == '"mit"'
    assert fields["base_model"] == '"owner/name"'
    assert "datasets" not in fields
    for told in ("hf:owner/name", "guided-diffusion", "network.heads = 4", "null class"):
        assert told in text, told
    assert "images seen" not in text
    assert "under MIT" in text


def test_the_hub_reads_the_front_matter() -> None:
    hub = pytest.importorskip("huggingface_hub")
    header = bundled()._replace(source=SOURCE)
    text = model_card.card(header, 't: "x"', "u", tags=['a "quoted": tag', "é"])
    data = hub.ModelCard(text).data
    assert (data.license, data.library_name, data.base_model) == ("mit", "ddpm-cli", "owner/name")
    assert data.pipeline_tag == "unconditional-image-generation"
    assert data.tags[-2:] == ['a "quoted": tag', "é"]


def test_a_table_of_levels_is_not_written_out() -> None:
    schedule = {"name": "table", "values": [0.001 * n for n in range(1, 1001)]}
    header = bundled()
    text = model_card.card(
        header._replace(config=header.config | {"schedule": schedule}), "t", "u"
    )
    assert "1000 entries from 0.001 to 1.0" in text
    assert len(text) < 5000


def test_a_licence_that_the_hub_does_not_list_is_other() -> None:
    fields = front(model_card.card(bundled(), "t", "u", licence="NVIDIA Source Code License"))
    assert fields["license"] == '"other"'
    assert fields["license_name"] == '"NVIDIA Source Code License"'


def test_scores_of_the_run_and_of_the_weights() -> None:
    score = {"metric": "fid", "value": 3.5, "rises": False, "protocol": "adm", "n": 5000}
    header = bundled()._replace(score=score)
    text = model_card.card(header, "t", "u", scores={"kid": {"value": 0.25, "step": 2000}})
    assert "| fid | 3.5 of these weights (protocol adm, n 5000) |" in text
    assert "| kid | 0.25 at step 2,000 |" in text
    assert "## Evaluation" not in model_card.card(bundled(), "t", "u")


def test_folders_that_led_to_the_data_stay_private() -> None:
    header = bundled()
    data = {"name": "folder", "path": "/home/ada/secret/photos", "mode": "RGB"}
    text = model_card.card(header._replace(config=header.config | {"data": data}), "t", "u")
    assert "photos" in text
    assert "ada" not in text


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("mnist-classifier", "image-classification"),
        ("mnist-inpaint", "image-to-image"),
        ("mnist-upscale", "image-to-image"),
    ],
)
def test_what_the_hub_calls_its_task(name: str, task: str) -> None:
    text = model_card.card(bundled(name), "t", "u")
    assert front(text)["pipeline_tag"] == f'"{task}"'
    assert ("sampler" in text) == (task == "image-to-image")
