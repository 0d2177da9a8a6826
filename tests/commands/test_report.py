"""`ddpm report`: one page of runs and samples, that nothing in them can break or make fetch."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import pytest
import runs
from PIL import Image
from runs import ddpm, train

NASTY = """<script>alert(1)<&"'>]]>\u202e\u65e5\u672c"""


class Page(HTMLParser):
    """What a page consists of: its tags with their attributes, and its texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **having: str) -> list[dict[str, str | None]]:
        wanted = {key.rstrip("_"): value for key, value in having.items()}
        return [a for name, a in self.tags if name == tag and wanted.items() <= a.items()]


def report(*words: object) -> Page:
    outcome = ddpm("report", *words)
    assert outcome.code == 0, outcome.err
    return Page(Path(outcome.out.strip()))


def log(run: Path, *lines: Any) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(texts))


@pytest.fixture
def two(run: Path, tmp_path: Path) -> list[Path]:
    """Two runs, one of them of a name that would break a careless page."""
    other = tmp_path / NASTY.replace("/", "")
    shutil.copytree(run, other)
    lines = [{"step": n, "loss": 1 / n, "seconds": 60.0 * n} for n in range(1, 30)]
    log(other, *lines, {"step": 29, "eval": {NASTY: 3, "fid": 2.5}}, '{"step": 30, "lo')
    return [run, other]


class TestPage:
    def test_curves_sheets_and_settings_of_one_run(self, run: Path, tmp_path: Path) -> None:
        page = report(run, "-o", tmp_path / "a.html")
        labels = [svg["aria-label"] or "" for svg in page.all("svg", role="img")]
        assert any(label.startswith("training loss over steps. run: ") for label in labels)
        assert any(label.startswith("training loss over minutes. ") for label in labels)
        for name in ("held-out loss", "images a second", "loss by quarter of the noise levels"):
            assert any(label.startswith(f"{name} over ") for label in labels), name
        (sheet,) = page.all("img")
        assert sheet["alt"] == "samples of run at step 12"
        data = base64.b64decode((sheet["src"] or "").removeprefix("data:image/png;base64,"))
        assert data == (run / "samples" / "step-0000012.png").read_bytes()
        assert (run / "config.toml").read_text().strip() in page.text
        assert f"ddpm info {run} --toml > run.toml" in page.text

    def test_its_commands_train_the_same_again(
        self, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = report(finished, "-o", tmp_path / "a.html")
        monkeypatch.chdir(tmp_path)
        info, again = re.findall("ddpm (?:info|train) [^\n]*", page.text)[:2]
        words, place = info.split(" > ")
        Path(place).write_text(ddpm(*words.split()[1:]).out)
        assert ddpm(*again.split()[1:]).code == 0
        folder = Path(again.split(" -o ")[1].split()[0])
        runs.assert_same(runs.result(folder), runs.result(finished))

    def test_runs_are_laid_over_each_other(self, two: list[Path], tmp_path: Path) -> None:
        page = report(*two, "-o", tmp_path / "a.html")
        curves = page.all("path", class_="line s0 r0"), page.all("path", class_="line s1 r1")
        assert all(curves)
        assert {a["data-name"] for a in curves[0]} == {"run"}
        assert len(page.all("section", class_="strip r1")) == 1
        assert "All settings are equal." in page.text
        assert "2.5 at step 29" in page.text

    def test_settings_that_differ(self, run: Path, data: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        assert train(data, other, "--lr", 0.5, "--steps", 1).code == 0
        page = report(run, other, "-o", tmp_path / "a.html")
        table = page.text.partition("Settings that differ")[2].partition("All settings")[0]
        assert "train.lr" in table
        assert "network" not in table

    @pytest.mark.parametrize("place", ["folder", "picture"])
    def test_samples(self, place: str, finished: Path, tmp_path: Path) -> None:
        folder = tmp_path / "drawn"
        words = ["sample", "-m", finished, "-n", 3, "--steps", 2, "-o", f"{folder}/"]
        assert ddpm(*words).code == 0
        target = folder if place == "folder" else folder / "000001.png"
        page = report(target, "--images", 2, "-o", tmp_path / "a.html")
        assert len(page.all("img")) == (2 if place == "folder" else 1)
        assert ("and 1 more" in page.text) == (place == "folder")
        assert f"ddpm sample -m {finished} --seeds 1 " in page.text
        assert page.all("svg", role="img") == []

    def test_a_bundled_model_and_a_name(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "runs").mkdir()
        run.rename(tmp_path / "runs" / "first")
        monkeypatch.chdir(tmp_path)
        page = report("mnist", "first", "-o", "a.html")
        assert "ddpm info mnist --toml > mnist.toml" in page.text
        assert "ddpm info runs/first --toml > first.toml" in page.text

    def test_large_pictures_are_made_smaller_and_broken_ones_left_out(
        self, run: Path, tmp_path: Path
    ) -> None:
        Image.new("RGB", (300, 200), "red").save(run / "samples" / "step-0000005.png")
        (run / "samples" / "step-0000007.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        outcome = ddpm("report", run, "--side", 100, "-o", tmp_path / "a.html")
        assert outcome.code == 0
        assert "step-0000007.png" in outcome.err
        first = Page(tmp_path / "a.html").all("img")[0]
        assert (first["style"], first["alt"]) == ("--w:100", "samples of run at step 5")

    def test_few_of_many_sheets(self, run: Path, tmp_path: Path) -> None:
        sheet = run / "samples" / "step-0000012.png"
        for step in range(1, 12):
            shutil.copy(sheet, run / "samples" / f"step-{step:07d}.png")
        page = report(run, "--sheets", 4, "-o", tmp_path / "a.html")
        assert [a["data-step"] for a in page.all("figure") if "data-step" in a] == [
            "1", "5", "8", "12"
        ]  # fmt: skip
        assert page.all("img", alt="samples of run at step 12")
        assert not report(run, "--sheets", 0, "-o", tmp_path / "b.html").all("img")


class TestOddRuns:
    def test_a_page_is_bounded(self, run: Path, tmp_path: Path) -> None:
        log(run, *({"step": n, "loss": 2 + n % 7, "lr": 1e-3} for n in range(20_000)))
        report(run, "-o", tmp_path / "a.html")
        assert (tmp_path / "a.html").stat().st_size < 200_000

    @pytest.mark.parametrize(
        "lines",
        [
            [],
            [{"step": 1}],
            [{"step": 1, "loss": 0.5}],
            ['{"step": 1, "loss": NaN}', '{"step": 2, "loss": Infinity}'],
            [{"step": n, "loss": value} for n, value in enumerate((1e308, -1e308, 1e-320, 0))],
            [{"step": 10**300, "loss": 1}, {"step": 0, "seconds": -5, "time": 1e300}],
            [{"step": n, "loss": 1 - n % 2, "seconds": 0} for n in range(3)],
            [{"step": 5, "loss": 1}, {"step": 6, "loss": 2}, {"step": 5, "loss": 3}],
            [{"step": 1, "loss": "x", "eval": [1], "extra": {"a": {"b": 1}}}],
        ],
    )
    def test_odd_metrics(self, lines: list[Any], run: Path, tmp_path: Path) -> None:
        log(run, *lines)
        page = report(run, "-o", tmp_path / "a.html")
        assert "nan" not in [word for a in page.all("path") for word in (a["d"] or "").split()]

    def test_without_metrics_and_before_the_first_save(self, run: Path, tmp_path: Path) -> None:
        for path in (*run.glob("*.safetensors"), run / "metrics.jsonl"):
            path.unlink()
        shutil.rmtree(run / "samples")
        page = report(run, "-o", tmp_path / "a.html")
        assert "[network]" in page.text
        (run / "config.toml").write_text("what = is this")
        log(run, {"step": 1, "loss": 1})
        outcome = ddpm("report", run, "-o", tmp_path / "b.html")
        assert (outcome.code, "Warning: " in outcome.err) == (0, True)

    def test_a_broken_state(self, run: Path, tmp_path: Path) -> None:
        (run / "state.safetensors").write_bytes(b"half")
        outcome = ddpm("report", run, "-o", tmp_path / "a.html")
        assert (outcome.code, "state.safetensors" in outcome.err) == (0, True)

    def test_no_text_is_markup(self, two: list[Path], tmp_path: Path) -> None:
        page = report(*two, "-o", tmp_path / "a.html")
        assert len(page.all("script")) == 1
        assert NASTY[:8] in page.text
        assert "\u202e" not in page.text


class TestOutput:
    def test_pictures_that_cannot_be_read(self, run: Path, tmp_path: Path) -> None:
        folder, page = tmp_path / "some", tmp_path / "a.html"
        folder.mkdir()
        sheet = (run / "samples" / "step-0000012.png").read_bytes()
        (folder / "half.png").write_bytes(sheet[: len(sheet) // 2])
        for words in ([folder], [folder / "half.png"]):
            outcome = ddpm("report", *words, "-o", page)
            assert (outcome.code, page.exists()) == (1, False)
            assert "half.png" in outcome.err
        (folder / "whole.png").write_bytes(sheet)
        outcome = ddpm("report", folder, "-o", page)
        assert (outcome.code, outcome.out.strip()) == (3, str(page))
        assert "1 of 2 inputs failed" in outcome.err
        assert len(Page(page).all("img")) == 1

    def test_json_and_dry_run(self, two: list[Path], tmp_path: Path) -> None:
        place = tmp_path / "a.html"
        outcome = ddpm("report", *two, "-o", place, "--json", "--dry-run")
        facts = json.loads(outcome.out)
        assert (facts["path"], facts["bytes"], place.exists()) == (str(place), None, False)
        assert [run["rows"] for run in facts["runs"]] == [3, 29]
        assert facts["runs"][1]["best_eval"]["fid"] == {"value": 2.5, "step": 29}
        outcome = ddpm("report", *two, "-o", place, "--json")
        assert json.loads(outcome.out) == {**facts, "bytes": place.stat().st_size}
        assert ddpm("report", two[0], "-o", tmp_path / "b.html", "--dry-run").out == ""

    def test_a_page_is_replaced_when_asked(self, run: Path, tmp_path: Path) -> None:
        place = tmp_path / "a.html"
        place.write_text("mine")
        outcome = ddpm("report", run, "-o", place)
        assert (outcome.code, place.read_text()) == (1, "mine")
        assert f"Error: {place}: exists already" in outcome.err
        assert ddpm("report", run, "-o", place, "--force").code == 0
        assert place.read_text().startswith("<!DOCTYPE html>")

    def test_standard_output(self, run: Path) -> None:
        outcome = ddpm("report", run, "-o", "-")
        assert (outcome.code, outcome.out.startswith("<!DOCTYPE html>")) == (0, True)
        assert ddpm("report", run, "-o", "-", "--json").code == 2

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["nothing"], 1, "Error: nothing: no such file, run or bundled model"),
            ([""], 2, "Error: RUN: an empty name"),
            (["here"], 1, "here: neither a run nor pictures are in this folder"),
            (["a.txt"], 1, "a.txt: neither a run nor a picture"),
            (["mnist", "mnist"], 2, "named twice"),
            (["mnist", "-o", "a.pdf"], 2, "-o a.pdf: unknown ending; use .html"),
            (["mnist", "-o", "here"], 2, "-o here: unknown ending"),
            (["mnist", "-o", "here/folder.html"], 1, "is a folder, where a file is wanted"),
            (["mnist", "-o", "a.txt/x.html"], 1, "is not a folder"),
        ],
    )
    def test_bad_input(
        self,
        words: list[str],
        code: int,
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "here" / "folder.html").mkdir(parents=True)
        (tmp_path / "a.txt").write_text("text")
        outcome = ddpm("report", *words)
        assert outcome.code == code, outcome.err
        assert said in outcome.err
        assert not (tmp_path / "report.html").exists()


class TestBrowser:
    def test_it_opens_without_a_complaint_or_a_request(
        self, two: list[Path], tmp_path: Path
    ) -> None:
        browser.find()
        report(*two, "-o", tmp_path / "a.html")
        seen = browser.seen(tmp_path / "a.html", tmp_path)
        assert '<html lang="en" class="js">' in seen.dom
        assert seen.console == []
        assert seen.asked == ["http://page.test/"]

    def test_what_a_page_would_fetch_is_counted(self, tmp_path: Path) -> None:
        """So that the test above can fail."""
        (tmp_path / "a.html").write_text('<img src="http://other.test/x"><script>oops</script>')
        seen = browser.seen(tmp_path / "a.html", tmp_path)
        assert "http://other.test/x" in seen.asked
        assert any("oops" in message for message in seen.console)

    def test_slider_switch_and_values(self, two: list[Path], tmp_path: Path) -> None:
        """Driven by a script that the page itself would not run."""
        browser.find()
        shutil.copy(two[0] / "samples/step-0000012.png", two[0] / "samples/step-0000004.png")
        report(*two, "-o", tmp_path / "a.html")
        page = (tmp_path / "a.html").read_text()
        page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        page = page.replace("</body>", f"<script>{{{DRIVE}}}</script></body>")
        (tmp_path / "b.html").write_text(page)
        seen = browser.seen(tmp_path / "b.html", tmp_path)
        assert seen.console == []
        told = re.search(r'<pre id="told">(.*?)</pre>', seen.dom)
        assert told is not None
        facts = json.loads(told[1].replace("&quot;", '"'))
        assert facts == {
            "shown": ["12", "12"], "before": ["4", "12"], "chosen": "step 4",
            "steps": "none", "minutes": "block", "value": True, "hidden": "none",
            "narrow": True,
        }  # fmt: skip


DRIVE = """
const shown = () => [...document.querySelectorAll(".sheet.shown")].map((s) => s.dataset.step);
const style = (path) => getComputedStyle(document.querySelector(path)).display;
const facts = {shown: shown()};
const knob = document.getElementById("at-step");
knob.value = 0; knob.dispatchEvent(new Event("input"));
facts.before = shown(); facts.chosen = document.getElementById("chosen-step").textContent;
document.getElementById("by-minutes").click();
facts.steps = style(".chart .steps"); facts.minutes = style(".chart .minutes");
const svg = document.querySelector(".chart .minutes svg");
svg.dispatchEvent(new KeyboardEvent("keydown", {key: "End", cancelable: true}));
facts.value = /min: .+ /.test(document.querySelector(".readout").textContent);
document.getElementById("show-1").click();
facts.hidden = style(".line.r1");
facts.narrow = document.documentElement.scrollWidth <= innerWidth;
const told = document.createElement("pre"); told.id = "told";
told.textContent = JSON.stringify(facts); document.body.append(told);
"""
