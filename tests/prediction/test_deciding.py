"""Labels in strips of rows: what one interpolation of everything would give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from weakseg.prediction import deciding
from weakseg.prediction.deciding import decide

SIZES = [(1, 1), (5, 7), (13, 9), (40, 70), (64, 3)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("strip", [1, 100, 10**6])
def test_labels_at_the_size_of_the_image(
    size: tuple[int, int], strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "_STRIP", strip)
    probs = torch.randn(4, 13, 9).mul(3).softmax(0)
    whole = F.interpolate(probs[None], size, mode="bilinear")[0]
    found = decide(probs, size, keep=True)
    assert found.probs is not None
    assert torch.allclose(found.probs.float(), whole, atol=1e-3)
    top = whole.topk(2, 0).values
    clear = top[0] - top[1] > 1e-4
    assert (found.labels == whole.argmax(0))[clear].all()
    assert found.labels.dtype == torch.uint8
    assert float(found.confidence) == pytest.approx(float(whole.amax(0).mean()), abs=1e-5)


@pytest.mark.parametrize("size", [(13, 9), (40, 30)], ids=str)
def test_logits_decide_as_their_softmax_does(size: tuple[int, int]) -> None:
    logits = torch.randn(4, 13, 9).mul(3)
    found = decide(logits, size, keep=True, logits=True)
    expected = decide(logits.softmax(0), size, keep=True)
    assert torch.equal(found.labels, expected.labels)
    assert found.probs is not None
    assert expected.probs is not None
    assert torch.allclose(found.probs, expected.probs, atol=1e-3)
    assert float(found.confidence) == pytest.approx(float(expected.confidence), abs=1e-6)


def test_bad_numbers_are_seen_in_the_confidence() -> None:
    probs = torch.full((3, 8, 8), 1 / 3)
    probs[:, 5, 5] = torch.nan
    assert not decide(probs, (8, 8)).confidence.isfinite()
    assert not decide(probs, (16, 16)).confidence.isfinite()
    assert not decide(probs, (8, 8), logits=True).confidence.isfinite()
    assert decide(probs, (8, 8)).probs is None
