"""Files of numbers as data sets: what is read, and what is refused."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import rows
from runs import ddpm

from ddpm_cli.data.sets.arrays import array
from ddpm_cli.data.sets.toys import swiss_roll
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import build
from ddpm_cli.pipelines.train_checks import refuse_unsuited
from ddpm_cli.settings import config


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


class TestFiles:
    def test_npy(self, tmp_path: Path) -> None:
        values = np.arange(40.0).reshape(20, 2)
        np.save(tmp_path / "a.npy", values)
        train = array("train", path=str(tmp_path / "a.npy"), holdout=0.25)
        test = array("test", path=str(tmp_path / "a.npy"), holdout=0.25)
        assert (len(train), len(test), train.shape) == (15, 5, (2,))
        both = torch.cat([rows(train), rows(test)])
        assert sorted(both[:, 0].round().tolist()) == list(range(0, 40, 2))
        assert (train.mean, train.std) == (test.mean, test.std)

    @pytest.mark.parametrize("kind", ["<f2", ">f8", "i1", "u8", "?"])
    def test_npy_of_any_number_type(self, kind: str, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([[0, 1], [1, 0], [1, 1]]).astype(kind))
        found = array("train", path=str(tmp_path / "a.npy"), normalize="none")
        assert found.mean == (0.0, 0.0)
        assert set(rows(found).flatten().tolist()) == {0.0, 1.0}

    def test_npy_of_one_axis_and_of_four(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.arange(10.0))
        assert array("train", path=str(tmp_path / "a.npy")).shape == (1,)
        np.save(tmp_path / "b.npy", np.asfortranarray(np.random.rand(6, 3, 2, 5)))
        assert array("train", path=str(tmp_path / "b.npy")).shape == (3, 2, 5)

    @pytest.mark.parametrize(
        ("text", "header"),
        [
            ("1,2\n3,4\n5,6\n", "auto"),
            ("a,b\n1,2\n3,4\n5,6\n", "auto"),
            ("9,9\n1,2\n3,4\n5,6\n", "yes"),
            ("\ufeffa;b\r\n1;2\r\n\r\n3;4\r\n5;6", "auto"),
            ('"a"\t"b"\n1\t2\n" 3"\t4\n5\t6\n', "auto"),
        ],
    )
    def test_csv(self, text: str, header: str, tmp_path: Path) -> None:
        path = table(tmp_path / "a.csv", text)
        made = [
            rows(array(part, path=str(path), header=header, holdout=0.4))  # type: ignore[arg-type]
            for part in ("train", "test")
        ]
        found = torch.cat(made).flatten().sort().values
        assert torch.allclose(found, torch.arange(1.0, 7))

    @pytest.mark.parametrize("label", ["kind", "2"])
    def test_a_column_of_classes(self, label: str, tmp_path: Path) -> None:
        path = table(tmp_path / "a.csv", "x,kind,y\n1,b,2\n3,a,4\n5,b,6\n7,b,8\n")
        found = array("train", path=str(path), label=label, holdout=0.01)
        assert (found.classes, found.shape) == (("a", "b"), (2,))
        assert found.labels is not None
        kinds = dict(zip(rows(found)[:, 0].round().tolist(), found.labels.tolist(), strict=True))
        assert kinds.items() <= {1: 1, 3: 0, 5: 1, 7: 1}.items()

    def test_classes_that_are_numbers_are_ordered_as_such(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([[0.0, 10], [1, 9], [2, 10], [3, 9]]))
        found = array("train", path=str(tmp_path / "a.npy"), label="2")
        assert found.classes == ("9", "10")

    def test_what_ddpm_writes_can_be_read(self, tmp_path: Path) -> None:
        text = io.StringIO()
        csv.writer(text).writerows([["x1", "x2", "class"], [1, 2, "low"], [3, 4, "high"]])
        path = table(tmp_path / "a.csv", text.getvalue())
        assert array("train", path=str(path), label="class").classes == ("high", "low")


class TestBadFiles:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "an empty file"),
            ("\n\n", "it holds nothing"),
            ("a,b\n", "a header and nothing else"),
            ("1,2\n3\n", "line 2: 1 cell, expected 2"),
            ("1,2\n3,4,5\n", "line 2: 3 cells, expected 2"),
            ("1,2\n3,nan\n", "line 2, column 2: 'nan' is no number"),
            ("1,2\n3,inf\n", "line 2, column 2: 'inf' is no number"),
            ("1,2\n3,\n", "line 2, column 2: an empty cell is no number"),
            ("1,x\n3,4\n", "line 1, column 2: 'x' is no number"),
            ("1,2\n" + '"' + "9" * 200000 + '",3\n', "line 2: field larger than"),
            ("1\n", "a single row, of which nothing is learned"),
        ],
    )
    def test_csv(self, text: str, message: str, tmp_path: Path) -> None:
        path = table(tmp_path / "a.csv", text)
        with pytest.raises(Refusal) as caught:
            array("train", path=str(path))
        assert caught.value.message.startswith(f"{path}: ")
        assert message in caught.value.message.splitlines()[0]

    def test_csv_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b"1,2\n\xff\xfe,3\n")
        with pytest.raises(Refusal, match="not UTF-8 text"):
            array("train", path=str(tmp_path / "a.csv"))

    def test_objects_are_not_unpickled(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return Path.touch, (str(tmp_path / "bomb"),)

        np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
        with pytest.raises(Refusal, match=r"a\.npy: no readable \.npy file: .*Python objects"):
            array("train", path=str(tmp_path / "a.npy"))
        assert not (tmp_path / "bomb").exists()

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (np.array([[1.0, 2], [3, np.nan]]), "row 1, column 2: not a finite number"),
            (np.array([[np.inf, 2], [3, 1]]), "row 0, column 1: not a finite number"),
            (np.array(["a", "b"]), "values of type <U1; expected numbers"),
            (np.array([1j]), "values of type complex128"),
            (np.zeros((0, 3)), "it holds nothing (0x3)"),
            (np.array(3.0), "it holds nothing (a single number)"),
            (np.zeros((2, 2**17), dtype=np.int8), "2x131072 values are too many"),
            (np.array([[1e39], [2e39]]), "beyond the range of 32-bit floats"),
        ],
    )
    def test_npy(self, values: np.ndarray, message: str, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", values)
        with pytest.raises(Refusal) as caught:
            array("train", path=str(tmp_path / "a.npy"), normalize="none", holdout=0.5)
        assert message in caught.value.message.splitlines()[0]

    def test_a_header_that_claims_too_much(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.zeros((4, 2)))
        data = path.read_bytes()
        path.write_bytes(data.replace(b"(4, 2), }         ", b"(400000000000, 2),"[:10] + b" }"))
        with pytest.raises(Refusal, match=r"a\.npy: "):
            array("train", path=str(path))
        for cut in (0, 5, 20, len(data) - 1):
            path.write_bytes(data[:cut])
            with pytest.raises(Refusal, match=r"a\.npy: (no readable \.npy|an empty) file"):
                array("train", path=str(path))

    def test_huge_files_are_not_read(self, tmp_path: Path) -> None:
        for name in ("a.npy", "a.csv"):
            with (tmp_path / name).open("wb") as stream:
                stream.truncate(2**40)
            with pytest.raises(Refusal, match="larger than the limit"):
                array("train", path=str(tmp_path / name))

    @pytest.mark.parametrize("name", ["a.txt", "a.pkl", "none.npy", "folder.npy"])
    def test_no_such_file(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "folder.npy").mkdir()
        table(tmp_path / "a.txt", "1"), table(tmp_path / "a.pkl", "1")
        with pytest.raises(Refusal, match=name):
            array("train", path=str(tmp_path / name))

    def test_labels(self, tmp_path: Path) -> None:
        path = str(table(tmp_path / "a.csv", "x,kind\n1,a\n2,b\n"))
        with pytest.raises(ConfigError, match=r"no column is named 'knd'; did you mean kind\?"):
            array("train", path=path, label="knd")
        with pytest.raises(ConfigError, match="no column is named '3'"):
            array("train", path=path, label="3")
        with pytest.raises(ConfigError, match=r"data\.path: the data set needs it"):
            array("train")
        np.save(tmp_path / "b.npy", np.zeros((3, 2, 2)))
        with pytest.raises(ConfigError, match="no columns; leave it out"):
            array("train", path=str(tmp_path / "b.npy"), label="1")


class TestRefusals:
    """What suits images only is refused before training, with the setting to change."""

    def settings(self, **tables: object) -> config.Config:
        layer = {"data": {"name": "swiss-roll", "count": 100}, "wrappers": [], **tables}
        return config.resolve([config.Layer("test", layer)])

    def test_flip(self) -> None:
        found = swiss_roll("train", count=100)
        with pytest.raises(ConfigError, match=r"train\.flip: only images"):
            refuse_unsuited(self.settings(train={"flip": True}), found)
        refuse_unsuited(self.settings(), found)

    def test_a_clamp_below_the_data(self) -> None:
        found = swiss_roll("train", count=100)
        for limit, refused in ((1.0, True), (found.reach + 0.01, False)):
            settings = self.settings(wrappers=[{"name": "clamp", "limit": limit}])
            if refused:
                with pytest.raises(ConfigError, match=r"wrappers: clamp .*--set wrappers=\[\]"):
                    refuse_unsuited(settings, found)
            else:
                refuse_unsuited(settings, found)

    def test_a_network_for_images(self) -> None:
        with pytest.raises(ConfigError, match=r"network\.unet: .*--set network\.name=mlp"):
            build.network(self.settings(network={"name": "unet"}), DataInfo((2,)))

    def test_from_the_shell(self, tmp_path: Path) -> None:
        words = ["train", "-o", tmp_path / "run", "--set", "data.name=swiss-roll"]
        outcome = ddpm(*words)
        assert outcome.code == 2
        assert outcome.err.splitlines()[-1].startswith("Error: wrappers: clamp would cut")
        outcome = ddpm(*words, "--set", "wrappers=[]")
        assert "Error: network.unet: no images but data of shape (2,)" in outcome.err
