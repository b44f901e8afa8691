"""Compiled or in tensors, the results are the same."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import weakseg
from tests.functional.photos import beliefs, photo
from weakseg.functional.crf import DenseCRF, dense_crf, meanfield
from weakseg.functional.crf import meanfield_compiled as compiled
from weakseg.functional.crf.kernels import Kernel
from weakseg.functional.crf.meanfield import Normalization
from weakseg.functional.crf.vectors_compiled import as_rows

SMOOTH, BILATERAL = Kernel(3, 1, None), Kernel(4, 67, 3)
WIDE = (Kernel(3, 3, None), Kernel(10, 80, 13))


def refine(
    image: Tensor,
    probs: Tensor,
    kernels: tuple[Kernel, ...],
    how: Normalization = "symmetric",
    iterations: int = 10,
) -> Tensor:
    found = compiled.refine(image, probs, kernels, how == "symmetric", iterations)
    assert found is not None
    return found


def expect_same(
    image: Tensor,
    probs: Tensor,
    kernels: tuple[Kernel, ...],
    how: Normalization = "symmetric",
    iterations: int = 10,
) -> None:
    """As in tensors of double precision."""
    found = refine(image, probs, kernels, how, iterations)
    (expected,) = meanfield.refine([image], [probs.double()], kernels, how, iterations)
    assert (found - expected).abs().max() < 1e-3
    assert (found - expected).abs().mean() < 1e-5
    assert (found - probs).abs().max() > 0.01


@pytest.mark.parametrize("labels", [2, 3, 4, 5, 8, 9, 16, 17, 21, 24, 25, 32, 33, 40])
def test_any_number_of_labels(labels: int) -> None:
    expect_same(photo(31, 37), beliefs(labels, 31, 37), (SMOOTH, BILATERAL))


@pytest.mark.parametrize("how", ["symmetric", "after"])
@pytest.mark.parametrize(
    "kernels", [(SMOOTH,), (BILATERAL,), WIDE], ids=["smooth", "bilateral", "wide"]
)
def test_kernels_and_normalisations(kernels: tuple[Kernel, ...], how: Normalization) -> None:
    expect_same(photo(43, 51), beliefs(3, 43, 51), kernels, how)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_few_iterations(iterations: int) -> None:
    expect_same(photo(43, 51), beliefs(3, 43, 51), (SMOOTH, BILATERAL), "symmetric", iterations)


@pytest.mark.parametrize("size", [(1, 97), (97, 1), (2, 2), (13, 64), (64, 65), (7, 127)])
def test_sizes(size: tuple[int, int]) -> None:
    expect_same(photo(*size), beliefs(3, *size), (SMOOTH, BILATERAL))


def test_in_tensors_of_single_precision() -> None:
    image, probs = photo(43, 51), beliefs(3, 43, 51)
    (expected,) = meanfield.refine([image], [probs], (SMOOTH, BILATERAL), "symmetric", 10)
    torch.testing.assert_close(
        refine(image, probs, (SMOOTH, BILATERAL)), expected, rtol=0, atol=1e-4
    )


def test_sure_beliefs_of_many_labels() -> None:
    """Probabilities of 0 and 1, whose energies go as far as energies go, under the strongest pulls
    that are compiled."""
    image, labels = photo(40, 40), beliefs(7, 40, 40).argmax(0)
    probs = torch.nn.functional.one_hot(labels, 7).permute(2, 0, 1).float()
    found = refine(image, probs, (Kernel(30, 3, None), Kernel(30, 40, 10)))
    (expected,) = meanfield.refine(
        [image], [probs.double()], (Kernel(30, 3, None), Kernel(30, 40, 10)), "symmetric", 10
    )
    assert (found - expected).abs().mean() < 1e-5
    assert (found.argmax(0) == expected.argmax(0)).float().mean() > 0.999


@pytest.mark.parametrize(
    ("labels", "crf"),
    [
        (3, DenseCRF(smooth_weight=40, bilateral_weight=30)),
        (260, DenseCRF()),
        (3, DenseCRF(bilateral_rgb=1e-3, bilateral_xy=1e-3)),
        (3, DenseCRF(smooth_weight=0, bilateral_weight=0)),
    ],
    ids=["strong", "many labels", "tiny reaches", "none"],
)
def test_what_is_not_compiled_is_done_in_tensors(labels: int, crf: DenseCRF) -> None:
    image, probs = photo(16, 20), beliefs(labels, 16, 20)
    kernels = crf.kernels_on(image)
    assert compiled.refine(image, probs, kernels, True, crf.iterations) is None
    (expected,) = meanfield.refine([image], [probs], kernels, "symmetric", crf.iterations)
    assert torch.equal(dense_crf(image, probs, crf), expected)
    torch.testing.assert_close(expected.sum(0), torch.ones(16, 20))


def test_more_labels_than_are_compiled_may_be_there_if_few_are_possible() -> None:
    image, probs = photo(16, 20), torch.zeros(1000, 16, 20)
    probs[[5, 500, 999]] = beliefs(3, 16, 20)
    refined = refine(image, probs, (SMOOTH, BILATERAL))
    assert torch.equal(
        refined[[5, 500, 999]], refine(image, probs[[5, 500, 999]], (SMOOTH, BILATERAL))
    )
    assert int((refined.flatten(1).amax(1) > 0).sum()) == 3


def energies(probs: np.ndarray, labels: list[int], tile: int) -> np.ndarray:
    """Rows of four, which 7 fills up, so many pixels at a time."""
    energy = as_rows(np.zeros((probs.shape[1], 4), np.float32))
    logs = np.full((4, tile), 7, np.float32)
    for first in range(0, len(energy), tile):
        compiled._energies(probs, np.array(labels, np.int32), first, logs, energy)
    return energy["numbers"]


@pytest.mark.parametrize("tile", [1, 64, 50_000])
def test_logarithm(tile: int) -> None:
    numbers = np.concatenate(
        [np.geomspace(1e-20, 1, 20_000), np.linspace(0.4, 1, 20_000), [0.5, 0.70710677, 1]]
    ).astype(np.float32)
    energy = energies(numbers[None], [0], tile)
    expected = np.log(numbers.astype(np.float64))
    np.testing.assert_allclose(energy[:, 0], expected, rtol=2e-7, atol=1e-7)
    assert energy[-1, 0] == 0  # of one
    assert (energy[:, 1:] == 7).all()


def test_energies_of_what_is_impossible_and_of_other_labels() -> None:
    probs = np.array([[0.5, 0, 1e-30], [9, 9, 9], [0.25, 1, 1e-20]], np.float32)
    energy = energies(probs, [2, 0], 2)
    least = np.log(1e-20)
    np.testing.assert_allclose(
        energy[:, :2], [[np.log(0.25), np.log(0.5)], [0, least], [least, least]], rtol=1e-6
    )
    assert (energy[:, 2:] == 7).all()


@pytest.mark.parametrize("pixels", [1, 127, 128, 129, 300])
def test_marginals_go_to_the_places_of_their_labels(pixels: int) -> None:
    rows = np.arange(pixels * 4, dtype=np.float32).reshape(pixels, 4)
    refined = np.zeros((5, pixels), np.float32)
    for first in range(0, pixels, 128):
        tile = as_rows(np.zeros((128, 4), np.float32))
        here = rows[first : first + 128]
        tile["numbers"][: len(here)] = here
        compiled._marginals(tile, np.array([4, 0, 2], np.int32), first, refined)
    assert (refined[[4, 0, 2]] == rows[:, :3].T).all()
    assert (refined[[1, 3]] == 0).all()


class TestRecentlyMade:
    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many points the lattices have that are made."""
        made: list[int] = []
        original = compiled.lattice

        def counting(features: np.ndarray) -> object:
            made.append(features.shape[1])
            return original(features)

        compiled._recent.clear()
        monkeypatch.setattr(compiled, "lattice", counting)
        return made

    def test_the_same_image_again(self, made: list[int]) -> None:
        image, probs = photo(14, 18), beliefs(3, 14, 18)
        first = dense_crf(image, probs)
        assert torch.equal(dense_crf(image.clone(), probs), first)
        dense_crf(
            image,
            beliefs(5, 14, 18),
            DenseCRF(smooth_weight=1, bilateral_weight=9, iterations=2, normalization="after"),
        )
        assert made == [14 * 18] * 2  # one per kernel

    def test_another_image_of_the_same_size(self, made: list[int]) -> None:
        image, probs = photo(14, 18), beliefs(3, 14, 18)
        first = dense_crf(image, probs)
        assert not torch.equal(dense_crf(image.flip(2), probs), first)
        assert len(made) == 3  # without colours it is the same lattice

    def test_the_same_colours_in_another_shape(self, made: list[int]) -> None:
        image, probs = photo(14, 18), beliefs(3, 14, 18)
        dense_crf(image, probs)
        dense_crf(image.reshape(3, 18, 14), probs.reshape(3, 18, 14))
        assert len(made) == 4

    def test_other_reaches(self, made: list[int]) -> None:
        image, probs = photo(14, 18), beliefs(3, 14, 18)
        for crf in (
            DenseCRF(),
            DenseCRF(smooth_xy=2),
            DenseCRF(bilateral_xy=50),
            DenseCRF(bilateral_rgb=5),
        ):
            dense_crf(image, probs, crf)
        assert len(made) == 2 + 3

    def test_an_image_that_was_changed_in_place(self, made: list[int]) -> None:
        image, probs = photo(14, 18).clone(), beliefs(3, 14, 18)
        first = dense_crf(image, probs)
        image[:, 7, 9] ^= 128
        changed = dense_crf(image, probs)
        assert not torch.equal(changed, first)
        compiled._recent.clear()
        assert torch.equal(dense_crf(image.clone(), probs), changed)


def _in_the_child(image: Tensor, probs: Tensor, answers: Any) -> None:
    answers.put((dense_crf(image, probs).numpy(), dense_crf(image, probs.double()).numpy()))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
)
def test_in_a_process_forked_after_use() -> None:
    """As the workers of a data loader are, which like this test have one thread each."""
    image, probs = photo(14, 18), beliefs(3, 14, 18)
    expected = dense_crf(image, probs).numpy(), dense_crf(image, probs.double()).numpy()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_in_the_child, args=(image, probs, answers))
    child.start()
    try:
        for answer, one in zip(answers.get(timeout=30), expected, strict=True):
            assert (answer == one).all()
    finally:
        child.kill()
        child.join()


def test_several_threads_of_the_user() -> None:
    images, probs = (
        [photo(14 + i, 18) for i in range(4)],
        [beliefs(2 + i, 14 + i, 18) for i in range(4)],
    )
    expected = [dense_crf(*both) for both in zip(images, probs, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        for i, refined in enumerate(pool.map(dense_crf, images * 8, probs * 8)):
            assert torch.equal(refined, expected[i % 4])


@pytest.mark.slow
def test_works_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Neither beside the code, where a file has the name that the folder needs, nor in a home:
    nothing compiled is kept."""
    folder = tmp_path / "weakseg"
    shutil.copytree(
        Path(weakseg.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    for package in (folder / "functional", folder / "functional" / "crf"):
        (package / "__pycache__").write_text("no folder")
    nowhere = dict.fromkeys(
        ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "IPYTHONDIR"), os.devnull + "/home"
    )
    program = (
        "import torch; from weakseg.functional.crf import permutohedral_compiled as lattice; from "
        "weakseg.functional.crf import dense_crf;print(lattice.__file__, dense_crf(torch.zeros(3, "
        "4, 5, dtype=torch.uint8), torch.full((2, 4, 5), 0.5)).sum().item())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **nowhere, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    where, total = ran.stdout.split()
    assert Path(where).is_relative_to(folder)
    assert float(total) == pytest.approx(20)
