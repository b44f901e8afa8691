from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.functional.photos import beliefs, photo
from weakseg.functional.crf import meanfield
from weakseg.functional.crf.kernels import Kernel
from weakseg.functional.crf.meanfield import Normalization, mean_field, normalize
from weakseg.functional.crf.permutohedral import lattice

GOLDEN = {
    ("after", 1): [0.937552, 0.505817, 0.488122, 0.669510],
    ("after", 10): [0.991977, 0.900486, 0.899636, 0.952456],
    ("symmetric", 1): [0.938408, 0.515011, 0.496444, 0.672756],
    ("symmetric", 10): [0.991668, 0.908108, 0.907248, 0.950655],
}
KERNELS = (Kernel(3, 1, None), Kernel(4, 67, 3))


def exactly(features: Tensor) -> Callable[[Tensor], Tensor]:
    kernel = (-(features[:, None] - features).square().sum(2) / 2).exp()
    return lambda values: kernel @ values


class TestMeanField:
    """Four points on a line; the golden values were computed with the exact kernel, own point
    included."""

    features = torch.arange(4, dtype=torch.float64)[:, None] / 3
    unary = -torch.tensor(
        [[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.6, 0.4]], dtype=torch.float64
    ).log()
    ones = torch.ones(4, 1, dtype=torch.float64)

    @pytest.mark.parametrize(("how", "iterations"), GOLDEN)
    def test_golden_values(self, how: Normalization, iterations: int) -> None:
        kernel = normalize(exactly(self.features), self.ones, how)
        marginals = mean_field(self.unary, [kernel], [3.0], iterations)
        # they are printed with six digits
        assert marginals[:, 0].tolist() == pytest.approx(GOLDEN[how, iterations], abs=6e-7)

    @pytest.mark.parametrize(("how", "iterations"), GOLDEN)
    def test_the_lattice_comes_near_them(self, how: Normalization, iterations: int) -> None:
        kernel = normalize(lattice(self.features).filter, self.ones, how)
        marginals = mean_field(self.unary, [kernel], [3.0], iterations)
        # it is an approximation; .006 was seen
        assert marginals[:, 0].tolist() == pytest.approx(GOLDEN[how, iterations], abs=0.008)

    def test_one_step_written_out(self) -> None:
        """Two points that see each other half as much as themselves, weight 2, normalised by
        1.5."""
        kernel = normalize(
            lambda values: torch.tensor([[1, 0.5], [0.5, 1]]) @ values, torch.ones(2, 1), "after"
        )
        unary = -torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
        pull = 2 * (0.8 + 0.5 * 0.5) / 1.5 - 2 * (0.2 + 0.5 * 0.5) / 1.5
        expected = 0.8 / (0.8 + 0.2 * np.exp(-pull))
        assert mean_field(unary, [kernel], [2.0], 1)[0, 0].item() == pytest.approx(expected)

    def test_a_constant_added_to_a_points_energies_changes_nothing(self) -> None:
        kernel = normalize(exactly(self.features), self.ones, "symmetric")
        shifted = self.unary + torch.tensor([[5.0], [-3.0], [0.1], [100.0]])
        torch.testing.assert_close(
            mean_field(shifted, [kernel], [3.0], 10), mean_field(self.unary, [kernel], [3.0], 10)
        )

    def test_many_labels_take_the_same_way_as_few(self) -> None:
        kernel = normalize(exactly(self.features), self.ones, "symmetric")
        few = mean_field(self.unary, [kernel], [3.0], 10)
        never = torch.full((4, 18), 200.0, dtype=torch.float64)
        torch.testing.assert_close(
            mean_field(torch.cat([self.unary, never], 1), [kernel], [3.0], 10)[:, :2], few
        )


class TestManyImages:
    """They are one computation, but none sees the others."""

    sizes = ((20, 30), (17, 9), (1, 1), (20, 30))

    def images(self) -> list[Tensor]:
        """Of different sizes, and two of one size whose colours are much alike."""
        return [photo(*size) for size in self.sizes[:3]] + [photo(*self.sizes[3]).flip(1)]

    @pytest.mark.parametrize("how", ["symmetric", "after"])
    @pytest.mark.parametrize(
        "kernels", [KERNELS, KERNELS[:1], KERNELS[1:]], ids=["both", "smooth", "bilateral"]
    )
    def test_as_one_by_one(self, kernels: tuple[Kernel, ...], how: Normalization) -> None:
        probs = [beliefs(3, *size).double() for size in self.sizes]
        together = meanfield.refine(self.images(), probs, kernels, how, 10)
        for image, belief, refined in zip(self.images(), probs, together, strict=True):
            (alone,) = meanfield.refine([image], [belief], kernels, how, 10)
            torch.testing.assert_close(refined, alone, rtol=0, atol=1e-9)
            assert (alone - belief).abs().max() > 0.01 or alone[0].numel() == 1

    def test_in_single_precision(self) -> None:
        probs = [beliefs(3, *size) for size in self.sizes]
        for image, belief, refined in zip(
            self.images(),
            probs,
            meanfield.refine(self.images(), probs, KERNELS, "symmetric", 10),
            strict=True,
        ):
            (alone,) = meanfield.refine([image], [belief], KERNELS, "symmetric", 10)
            torch.testing.assert_close(refined, alone, rtol=0, atol=1e-4)

    def test_each_image_has_impossible_labels_of_its_own(self) -> None:
        """Label 3 is impossible in all, 0 in the first one, 1 and 2 in the second, where one label
        is left."""
        images = [photo(12, 15), photo(10, 8), photo(9, 9)]
        probs = [torch.zeros(4, *image.shape[1:], dtype=torch.float64) for image in images]
        for belief, possible in zip(probs, ([1, 2], [0], [0, 1, 2]), strict=True):
            belief[possible] = beliefs(len(possible), *belief.shape[1:]).double()
        for image, belief, refined in zip(
            images, probs, meanfield.refine(images, probs, KERNELS, "symmetric", 10), strict=True
        ):
            never = (belief == 0).flatten(1).all(1)
            assert (refined[never] == 0).all()
            (alone,) = meanfield.refine([image], [belief[~never]], KERNELS, "symmetric", 10)
            torch.testing.assert_close(refined[~never], alone, rtol=0, atol=1e-9)

    @pytest.mark.parametrize(
        ("most", "expected"), [(1, [1, 1, 1, 1]), (17_319, [2, 2]), (17_342, [3, 1]), (10**6, [4])]
    )
    def test_no_more_at_once_than_fit(
        self, most: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pixels times 3 labels and 20 for the lattices: 13800, 3519, 23 and 13800, so the first
        two together are 17319."""
        probs = [beliefs(3, *size).double() for size in self.sizes]
        whole = meanfield.refine(self.images(), probs, KERNELS, "symmetric", 3)
        groups: list[int] = []
        together = meanfield._together

        def counting(images: list[Tensor], *others: object) -> list[Tensor]:
            groups.append(len(images))
            return together(images, *others)  # type: ignore[arg-type]

        monkeypatch.setattr(meanfield, "_together", counting)
        monkeypatch.setattr(meanfield, "_TOGETHER", most)
        for part, one in zip(
            meanfield.refine(self.images(), probs, KERNELS, "symmetric", 3), whole, strict=True
        ):
            torch.testing.assert_close(part, one, rtol=0, atol=1e-9)
        assert groups == expected

    def test_no_images(self) -> None:
        assert meanfield.refine([], [], KERNELS, "symmetric", 10) == []

    def test_the_lattice_is_made_once_for_the_same_images(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[int] = []

        def counting(points: Tensor, groups: Tensor | None) -> object:
            made.append(len(points))
            return lattice(points, groups)

        meanfield._recent.clear()
        monkeypatch.setattr(meanfield, "lattice", counting)
        images, probs = (
            [photo(12, 15).clone(), photo(10, 8)],
            [beliefs(2, 12, 15), beliefs(2, 10, 8)],
        )
        first = meanfield.refine(images, probs, KERNELS, "symmetric", 10)
        assert torch.equal(meanfield.refine(images, probs, KERNELS, "symmetric", 10)[0], first[0])
        assert len(made) == 2  # one per kernel
        images[0][:, 3, 4] ^= 128
        changed = meanfield.refine(images, probs, KERNELS, "symmetric", 10)
        assert len(made) == 3  # the place of the pixels is the same
        assert not torch.equal(changed[0], first[0])
        assert torch.allclose(changed[1], first[1], atol=1e-6)
        meanfield.refine([images[1], images[0]], probs[::-1], KERNELS, "symmetric", 10)
        assert len(made) == 5


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU at hand; the same code is tested on the CPU above"
)
def test_a_gpu_gives_what_a_cpu_gives() -> None:
    images, probs = [photo(), photo(20, 30)], [beliefs(5), beliefs(5, 20, 30)]
    there = meanfield.refine(
        [one.cuda() for one in images], [one.cuda() for one in probs], KERNELS, "symmetric", 10
    )
    for refined, expected in zip(
        there, meanfield.refine(images, probs, KERNELS, "symmetric", 10), strict=True
    ):
        assert refined.is_cuda
        torch.testing.assert_close(refined.cpu(), expected, rtol=0, atol=1e-3)
