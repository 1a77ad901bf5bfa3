"""`fdplug compare` end to end on the tiny pipeline, its files read back."""

from __future__ import annotations

import csv
import json
import statistics

import numpy as np
import pytest

from fdplug import cli
from fdplug.commands.compare import main
from fdplug.errors import ConfigError, DataError, PipelineError
from fdplug.predict.comparison.batch_plan import plan
from fdplug.predict.comparison.results import FILES
from fdplug.predict.storage.run_folder import LOCK
from tests.predict.conftest import document, opened, written

ALL = "{name: same, sampler: ddim, steps: 6, propagation: {policy: all, injector: none}}"
FAST = "{name: fast, sampler: ddim, steps: 6, propagation: {policy: {uniform: {interval: 2}}}}"


def _arguments(model, annotations, out, *variants):
    options = [
        "--model",
        model,
        "--annotations",
        annotations,
        "--out",
        str(out),
        "--limit",
        "4",
        "--batch-size",
        "2",
    ]
    return [*options, "--clip-model", "none", "--variants", *variants]


@pytest.fixture(scope="module")
def compared(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    out = folder / "out"
    assert main(_arguments(model, written(folder, document()), out, "ddim-6", FAST, ALL, "ddim-3", "euler-5")) == 0
    return out


@pytest.fixture(scope="module")
def results(compared):
    return json.loads((compared / "results.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def _images(out, name):
    paths = sorted((out / "images" / name).glob("*.png"))
    return np.stack([opened(path) for path in paths]).astype(np.float64)


def _reference_psnr(a, b):
    return float(np.mean(10 * np.log10(255**2 / np.square(a - b).mean((1, 2, 3)))))


def test_every_file_is_written(compared):
    assert {path.name for path in compared.iterdir()} == {*FILES, "images", LOCK}
    for name in ("ddim-6", "fast", "same", "ddim-3", "euler-5"):
        written = sorted(path.name for path in (compared / "images" / name).iterdir())
        assert written == [f"{7 * index + 3:012d}.png" for index in range(4)]


def test_rows_say_what_ran(results):
    rows = {row["name"]: row for row in results["variants"]}
    assert list(rows) == ["ddim-6", "fast", "same", "ddim-3", "euler-5"]
    assert [row["num_key_steps"] for row in rows.values()] == [6, 3, 6, 3, 5]
    assert rows["fast"]["key_steps"] == [0, 2, 4]
    assert {"policy": rows["fast"]["propagate"]["policy"]} == {"policy": {"uniform": {"interval": 2}}}
    assert [row["compared_with"] for row in rows.values()] == [None, "ddim-6", "ddim-6", "ddim-6", None]
    assert all(row["images"] == 4 for row in rows.values())


def test_psnr_is_that_of_the_written_images(compared, results):
    rows = {row["name"]: row for row in results["variants"]}
    plain = _images(compared, "ddim-6")
    for name in ("fast", "ddim-3"):
        assert rows[name]["psnr"] == pytest.approx(_reference_psnr(_images(compared, name), plain), rel=1e-5)
        assert 0 < rows[name]["ssim"] <= 1
    assert rows["ddim-6"]["psnr"] is None


def test_all_key_steps_equal_the_baseline_exactly(compared, results):
    assert (_images(compared, "same") == _images(compared, "ddim-6")).all()
    (row,) = [row for row in results["variants"] if row["name"] == "same"]
    assert row["identical"] is True
    assert row["psnr"] is None
    assert row["ssim"] == pytest.approx(1)


def test_costs_are_counted_and_timed(results):
    rows = {row["name"]: row for row in results["variants"]}
    assert rows["same"]["gflops_per_image"] == rows["ddim-6"]["gflops_per_image"]
    assert rows["ddim-3"]["gflops_per_image"] == pytest.approx(rows["ddim-6"]["gflops_per_image"] / 2)
    assert rows["ddim-3"]["gflops_per_image"] < rows["fast"]["gflops_per_image"] < rows["ddim-6"]["gflops_per_image"]
    for row in rows.values():
        assert len(row["rounds"]) == 3
        assert 0 < row["denoiser_seconds_per_image"] < row["seconds_per_image"]
    seconds = {name: [one["seconds"] for one in row["rounds"]] for name, row in rows.items()}
    for name, times in seconds.items():
        assert rows[name]["seconds_per_image"] == statistics.median(times)
        assert rows[name]["seconds_per_image_range"] == [min(times), max(times)]
    ratios = [plain / own for plain, own in zip(seconds["ddim-6"], seconds["fast"], strict=True)]
    assert rows["fast"]["speedup"] == pytest.approx(statistics.median(ratios))
    assert rows["fast"]["speedup_range"] == pytest.approx([min(ratios), max(ratios)])
    assert (rows["ddim-6"]["speedup"], rows["ddim-6"]["speedup_range"]) == (1, [1, 1])


def test_where_the_numbers_come_from_is_written_down(results):
    assert {"cpu", "cores", "torch_threads", "device"} <= set(results["hardware"])
    assert {"torch", "diffusers", "fdplug", "python"} <= set(results["versions"])
    settings = results["settings"]
    assert (settings["seed"], settings["batch_size"], settings["image_ids"]) == (0, 2, [3, 10, 17, 24])
    assert "equal_time" in results


def test_csv_and_markdown_say_the_same(compared, results):
    rows = list(csv.DictReader((compared / "results.csv").read_text().splitlines()))
    for row, full in zip(rows, results["variants"], strict=True):
        assert row["name"] == full["name"]
        assert float(row["seconds_per_image"]) == full["seconds_per_image"]
    markdown = (compared / "results.md").read_text()
    assert "| variant | steps | key steps | PSNR dB | SSIM | GFLOPs /image |" in markdown
    assert "| same | 6 | 6 | equal | 1.000 |" in markdown


def test_the_picture_has_a_row_per_caption_and_a_column_per_variant(compared):
    height, width, _ = opened(compared / "side_by_side.png").shape
    assert width == 2 * 8 + 190 + 5 * (128 + 4)
    assert height > 4 * 96


def test_nothing_is_overwritten_unasked(model, compared, tmp_path):
    before = (compared / "results.json").read_bytes()
    with pytest.raises(ConfigError, match=r"begun with other settings: variants.ddim-6 .* -> none.*add --overwrite"):
        main(_arguments(model, str(compared.parent / "captions.json"), compared, "ddim-2"))
    assert (compared / "results.json").read_bytes() == before
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="is not empty; name another with --out, or add --overwrite"):
        main(_arguments(model, str(compared.parent / "captions.json"), tmp_path, "ddim-2"))


def test_overwrite_replaces_the_earlier_results_and_nothing_else(model, annotations, tmp_path):
    out = tmp_path / "out"
    assert main(_arguments(model, annotations, out, "ddim-2")) == 0
    (out / "mine.txt").write_text("keep")
    assert main([*_arguments(model, annotations, out, "ddim-3"), "--overwrite"]) == 0
    assert {path.name for path in (out / "images").iterdir()} == {"ddim-3"}
    assert (out / "mine.txt").read_text() == "keep"


def test_variants_from_a_file(model, annotations, tmp_path):
    path = tmp_path / "variants.yaml"
    path.write_text("variants:\n  - ddim-2\n  - {name: mine, sampler: euler, steps: 3}\n")
    assert main([*_arguments(model, annotations, tmp_path / "out", str(path)), "--guidance", "1"]) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["variants"]
    assert [(row["name"], row["sampler"], row["guidance"]) for row in rows] == [
        ("ddim-2", "ddim", 1),
        ("mine", "euler", 1),
    ]


def test_three_rounds_are_timed_whatever_the_number_of_captions():
    def of(rounds):
        return [("".join(one.captions), one.warm_up, one.timed, one.keep) for one in rounds]

    again = [("abc", False, True, False)] * 3
    assert of(plan("abc", 4)) == [("abc", True, False, True), *again]
    assert of(plan("abcde", 2)) == [
        ("ab", True, False, True),
        ("cd", False, True, True),
        ("e", False, False, True),
        ("ab", False, True, False),
        ("cd", False, True, False),
    ]
    assert of(plan("abcdefghij", 2)) == [
        (pair, index == 0, index > 0, True) for index, pair in enumerate(("ab", "cd", "ef", "gh", "ij"))
    ]
    assert [one.timed for one in plan("abc", 2, timed=1)] == [False, False, True]


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        (["--variants", "ddim-50+papr"], ConfigError, "no policy 'papr', did you mean 'paper'"),
        (["--variants", "none.yaml"], ConfigError, "cannot read the variants file none.yaml"),
        (["--variants", "{name: ["], ConfigError, "cannot read"),
        (["--limit", "0"], ConfigError, "limit must be a whole number of at least 1"),
        (["--timed-rounds", "0"], ConfigError, "timed-rounds must be a whole number of at least 1"),
        (["--limit", "x"], ConfigError, "--limit must be a whole number, got 'x'"),
        (["--batch-size", "0"], ConfigError, "batch-size must be a whole number of at least 1"),
        (["--guidance", "-1"], ConfigError, "guidance must be a number of at least 0"),
        (["--guidance", "nan"], ConfigError, "guidance must be a number of at least 0"),
        (["--seed", "-1"], ConfigError, "seed must be a whole number"),
        (["--model", "./none"], PipelineError, "the model folder none does not exist"),
        (["--annotations", "none.json"], DataError, "cannot read the annotation file"),
        (["--scores", "shapes"], DataError, "is not of the shapes world"),
        (["--real-images", "none", "--scores", "fid"], DataError, "no image folder 'none'; name a folder of images"),
        (["--out", "/proc/none"], ConfigError, "cannot write to the folder"),
        (["--device", "gpu"], ConfigError, "no device 'gpu' here"),
        (["--stepz", "3"], ConfigError, "no option '--stepz'"),
    ],
)
def test_bad_options_are_one_line_before_any_model_is_loaded(
    model, annotations, tmp_path, monkeypatch, extra, error, message
):
    monkeypatch.setattr(
        "diffusers.DiffusionPipeline.from_pretrained", lambda *a, **k: pytest.fail("a model was loaded")
    )
    with pytest.raises(error, match=message) as caught:
        main([*_arguments(model, annotations, tmp_path / "out", "ddim-2"), *extra])
    assert len(str(caught.value).splitlines()) == 1


def test_the_command_returns_2_after_one_line(tmp_path, monkeypatch, capsys):
    """As every command does; tests/commands starts one in a process of its own."""
    monkeypatch.setattr("sys.argv", ["fdplug", "compare", "--model", str(tmp_path), "--out", str(tmp_path / "out")])
    assert cli.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no diffusers pipeline" in line
