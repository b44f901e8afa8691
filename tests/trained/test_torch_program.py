"""A .pt2 file: what stands in it, and that nothing in a stranger's is run."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trained.runs import CLASSES, OWN, make_run
from weakseg.trained.exporting import export_model
from weakseg.trained.loading import load_model
from weakseg.trained.program_check import UnsafeFile
from weakseg.trained.torch_program import load_program

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs"), OWN)


@pytest.fixture(scope="module")
def program(run: Path) -> Path:
    return export_model(run, "torch").path


def test_a_program_without_weakseg_reads_it(program: Path, run: Path) -> None:
    texts = {"classes": "", "long_side": ""}
    module = torch.export.load(program, extra_files=texts).module()
    assert json.loads(texts["classes"]) == CLASSES
    image = torch.randint(0, 256, (2, 3, 33, 21), dtype=torch.uint8)
    logits, probabilities = module(image)
    torch.testing.assert_close(logits, load_model(run, device="cpu").logits(image))
    torch.testing.assert_close(probabilities, logits.softmax(1))


def test_no_folder_of_this_machine_stands_in_it(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"exported_network.py" not in content


def test_it_goes_to_another_device_with_all_that_it_makes(program: Path) -> None:
    model = load_program(program, None, torch.device("meta"))  # a device that every machine has
    logits = model.logits(torch.zeros(2, 3, 61, 83, dtype=torch.uint8))
    assert logits.device == model.device == torch.device("meta")
    assert logits.shape == (2, 3, 61, 83)


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


def in_graph(change: Callable[[dict[str, Any]], object]) -> Callable[[Files, Path], None]:
    """A change of the JSON of the graph."""

    def made(files: Files, sprung: Path) -> None:
        content = json.loads(files["models/model.json"])
        text = f"__import__('pathlib').Path({str(sprung)!r}).touch()"
        change({"content": content, "code": text})
        files["models/model.json"] = json.dumps(content).encode()

    return made


def nodes(given: dict[str, Any]) -> Any:
    return given["content"]["graph_module"]["graph"]["nodes"]


def an_example(files: Files, sprung: Path) -> None:
    files["data/sample_inputs/model.pt"] = pickled(Trap(sprung))


def a_weight(files: Files, sprung: Path) -> None:
    name = "data/weights/model_weights_config.json"
    config = json.loads(files[name])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    files[f"data/weights/{first['path_name']}"] = pickled(Trap(sprung))
    files[name] = json.dumps(config, separators=(",", ":")).encode()


def a_constant(files: Files, sprung: Path) -> None:
    files["data/constants/opaque_obj_0"] = pickle.dumps(Trap(sprung))


def compiled_code(files: Files, sprung: Path) -> None:
    files["data/aotinductor/model/model.so"] = b"\x7fELF"


def an_old_layout(files: Files, sprung: Path) -> None:
    files["data/weights/model.pt"] = pickled({"weight": Trap(sprung)})


def a_name(given: dict[str, Any]) -> None:
    inputs = given["content"]["graph_module"]["graph"]["inputs"]
    inputs[-1]["as_tensor"]["name"] = f"image={given['code']}"


def pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[Files, Path], None]] = {
    "example": an_example,
    "weight": a_weight,
    "constant": a_constant,
    "compiled": compiled_code,
    "old layout": an_old_layout,
    "guard": in_graph(lambda given: given["content"]["guards_code"].append(given["code"])),
    "size": in_graph(
        lambda given: given["content"]["range_constraints"].update({given["code"]: {}})
    ),
    "function": in_graph(lambda given: nodes(given)[0].update(target="torch.hub.load")),
    "module": in_graph(lambda given: nodes(given)[0].update(target="os.system")),
    "name": in_graph(a_name),
    "metadata": in_graph(
        lambda given: nodes(given)[0]["metadata"].update(source_fn_stack=given["code"])
    ),
}


def rewritten(program: Path, out: Path, change: Callable[[Files, Path], object]) -> Path:
    """The same program in another archive, with something in it changed."""
    with zipfile.ZipFile(program) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(files, out.with_name("sprung"))
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"model/{name}", content)
    return out


def test_an_archive_that_another_program_packed_is_read(program: Path, tmp_path: Path) -> None:
    out = rewritten(program, tmp_path / "model.pt2", lambda files, _: files)
    assert load_model(out, device="cpu").classes == tuple(CLASSES)


def test_classes_that_the_program_has_no_outputs_for(program: Path, tmp_path: Path) -> None:
    def fewer(files: Files, _: Path) -> None:
        files["extra/classes"] = b'["background", "cat"]'

    out = rewritten(program, tmp_path / "model.pt2", fewer)
    with pytest.raises(ValueError, match=r"should have logits of 2 classes, .* but it has 3 "):
        load_model(out, device="cpu")


@pytest.mark.parametrize("way", HOSTILE)
def test_whatever_could_run_code_is_refused(way: str, program: Path, tmp_path: Path) -> None:
    out = rewritten(program, tmp_path / "model.pt2", HOSTILE[way])
    with pytest.raises(UnsafeFile, match="holds more than a graph and its weights: "):
        load_model(out, device="cpu")
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_is_no_program(program: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.pt2").write_bytes(program.read_bytes()[:3000])
    (tmp_path / "text.pt2").write_text("no archive")
    for name in ("torn.pt2", "text.pt2"):
        with pytest.raises(ValueError, match=rf"{name} is no \.pt2 file, or a damaged one"):
            load_model(tmp_path / name, device="cpu")
