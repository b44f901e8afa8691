"""export_model: where it writes, what it refuses, and that nothing wrong is left."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import weakseg.trained.exported_network
import weakseg.trained.exporting
from tests.trained.runs import CLASSES, OWN, make_run
from weakseg.config.recipe import RecipeError
from weakseg.export import main
from weakseg.trained.exporting import export_model
from weakseg.trained.graph_check import DIFFERENCE, Comparison, compare
from weakseg.trained.loading import load_model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path, OWN)


def written_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# where --------------------------------------------------------------------------------------------


def test_it_goes_beside_the_checkpoints_of_its_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert export_model(run, "torch").path == run / "exported" / "last.pt2"
    monkeypatch.chdir(run.parent)
    assert export_model("made", "hub").path == Path("made/exported/last")
    alone = export_model("made/checkpoints/last.ckpt", "torch", overwrite=True)
    assert alone.path == Path("made/exported/last.pt2")
    assert written_in(run / "exported") == {
        "last.pt2",
        *(f"last/{name}" for name in ("model.safetensors", "config.json", "README.md")),
    }


def test_what_exists_is_replaced_when_asked_for_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "net.pt2"
    export_model(run, "torch", out)
    before = out.read_bytes()
    with pytest.raises(RecipeError, match=r"net\.pt2 exists already; write overwrite=true"):
        export_model(run, "torch", out, licence="mit")
    assert out.read_bytes() == before
    export_model(run, "torch", out, licence="mit", overwrite=True)
    assert out.read_bytes() != before
    folder = tmp_path / "hub"
    export_model(run, "hub", folder)
    (folder / ".gitattributes").write_text("mine")
    with pytest.raises(RecipeError, match=r"hub/model\.safetensors exists already"):
        export_model(run, "hub", folder)
    export_model(run, "hub", folder, overwrite=True)
    assert (folder / ".gitattributes").read_text() == "mine"


@pytest.mark.parametrize(
    ("format", "out", "wrong"),
    [
        ("onnx", "net.pt2", r"out: a file of format=onnx ends in \.onnx, but it is .*net\.onnx"),
        ("torch", "folder.pt2", r"cannot be written to .*folder\.pt2, which is a folder"),
        ("hub", "file", "format=hub cannot be written to .*file, which is a file"),
        ("hub", "file/below", "out: .*file cannot be made: "),
    ],
)
def test_a_place_of_the_wrong_kind(
    run: Path, tmp_path: Path, format: Any, out: str, wrong: str
) -> None:
    (tmp_path / "folder.pt2").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=wrong):
        export_model(run, format, tmp_path / out)


# what cannot be exported --------------------------------------------------------------------------


def test_a_run_without_a_checkpoint_or_of_other_classes(run: Path) -> None:
    file = run / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["weakseg"]["classes"] = CLASSES[:2]
    torch.save(content, file)
    with pytest.raises(ValueError, match=r"do not fit Segmenter:\n.*head"):
        export_model(run, "torch")
    file.unlink()
    with pytest.raises(RecipeError, match="it stopped before its first"):
        export_model(run, "torch")
    assert not (run / "exported").exists()


def test_what_is_exported_already(run: Path) -> None:
    graph = export_model(run, "torch").path
    folder = export_model(run, "hub").path
    for place, format in ((graph, "hub"), (folder, "hub"), (graph, "torch")):
        with pytest.raises(RecipeError, match="is exported already; export the run that it came"):
            export_model(place, format)  # type: ignore[arg-type]
    assert export_model(folder, "torch").path == folder / "model.pt2"


class Unsure(torch.nn.Module):
    """Decides by the pixels of the image, which no graph can."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(3, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(image if image.sum() > 0 else -image)
        return logits


def test_a_network_that_no_graph_can_be_made_of(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"name": f"{__name__}.Unsure"})
    with pytest.raises(ValueError, match=r"Unsure cannot be exported for images of any.*hub"):
        export_model(run, "torch")
    assert written_in(run / "exported") == set()
    assert export_model(run, "hub").comparison.difference == 0


def make_own(classes: int) -> torch.nn.Module:
    return Unsure(classes)


def test_a_network_of_a_function_cannot_be_published(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"name": f"{__name__}.make_own"})
    with pytest.raises(RecipeError, match=r"can only name a class of networks, but .*make_own"):
        export_model(run, "hub")


# what is wrong is not left ------------------------------------------------------------------------


def altered(change: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A `trace` of a network that is not the trained one."""
    trace = weakseg.trained.exporting.trace

    def traced(network: Any) -> Any:
        with torch.no_grad():
            change(network)
        return trace(network)

    return traced


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.mean.add_(1),
        lambda network: network.network.head.bias.fill_(torch.nan),
        lambda network: network.network.encoder[0].bias[0].add_(0.05),
    ],
    ids=["other normalisation", "not a number", "one weight"],
)
def test_a_graph_that_computes_something_else_is_refused(
    change: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = export_model(run, "torch").path
    before = good.read_bytes()
    monkeypatch.setattr(weakseg.trained.exporting, "trace", altered(change))
    with pytest.raises(ValueError, match=r"last\.pt2 was not written: .*logits differ by"):
        export_model(run, "torch", overwrite=True)
    assert good.read_bytes() == before
    assert written_in(run / "exported") == {"last.pt2"}


def test_a_graph_that_is_right_for_some_sizes_alone_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weakseg.trained.exported_network, "ANY_SIZE", {})
    with pytest.raises(ValueError, match="the exported network fails where the trained one does"):
        export_model(run, "torch")
    assert written_in(run / "exported") == set()


def test_the_comparison_counts_the_worst_pixel(run: Path) -> None:
    network, other = load_model(run, device="cpu"), load_model(run, device="cpu")
    assert compare(network, other) == Comparison(0.0, compare(network, other).scale, 1.0, 6)

    def shifted(images: torch.Tensor) -> torch.Tensor:
        logits = network.logits(images).clone()
        logits[-1, 0, 0, 0] += 2 * DIFFERENCE * max(1.0, float(logits.abs().max()))
        return logits

    other.logits = shifted  # type: ignore[method-assign]
    found = compare(network, other)
    assert DIFFERENCE < found.difference < 3 * DIFFERENCE
    assert not found.passes
    assert not Comparison(float("nan"), 1.0, 1.0, 6).passes
    assert not Comparison(0.0, 1.0, 0.998, 6).passes


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process cannot get larger, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("format", ["torch", "hub"])
def test_a_full_disk_leaves_nothing(run: Path, format: Any) -> None:
    with (
        largest_file(500),
        pytest.raises(ValueError, match=r"exported/last(\.pt2)? cannot be written: "),
    ):
        export_model(run, format)
    assert written_in(run / "exported") == set()


def test_what_a_killed_export_left_is_removed_but_not_what_another_writes(run: Path) -> None:
    folder = run / "exported"
    for name in (".export-killed", ".export-busy"):
        (folder / name).mkdir(parents=True)
        (folder / name / "last.pt2").write_text("half")
    holds = "import sys; from pathlib import Path; from weakseg.utils.files import only_user\n"
    holds += "with only_user(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holds, str(folder / ".export-busy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        export_model(run, "hub")
        assert other.stdin is not None
        other.stdin.close()
    assert {path.name for path in folder.iterdir()} == {"last", ".export-busy"}


# the command --------------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = main([f"run={run}", "format=torch"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"exported: {export.path} (")
    assert lines[1].startswith("compared: logits differ by 0.0e+00 (allowed 0.0001) in units of ")
    assert lines[1].endswith(", 100.00% equal labels (needed 99.9%)")
    assert lines[2].startswith("time: 256x256 pixels: network ")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("run=RUN format=onxx", "format: expected onnx or torch or hub, but it is 'onxx'"),
        ("format=hub", "run: missing"),
        ("run=RUN opset=3", "opset: it should lie from 18 to 23, but it is 3"),
        ("run=RUN fromat=hub", "fromat: no such word; did you mean format?"),
        ("run=nowhere", "run: there is no nowhere; expected a run folder"),
        ("run=RUN checkpoint=bst", "checkpoint: expected best, last or a file"),
    ],
)
def test_mistakes_exit_with_two(
    words: str, wrong: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(words.replace("RUN", str(run)).split())
    assert end.value.code == 2
    assert wrong in capsys.readouterr().err


def test_the_best_checkpoint_is_exported_where_there_is_one(run: Path) -> None:
    shutil.copy(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt")
    assert export_model(run, "hub").path.name == "best"
    assert export_model(run, "hub", checkpoint="last").path.name == "last"
