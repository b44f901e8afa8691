"""What rounds query a network for: the prediction for an image that a strategy is given."""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.evidence import Prediction
from weakseg.training.segmenter import Segmenter, intermediate_features
from weakseg.utils.array_cache import ArrayCache, Arrays
from weakseg.utils.fingerprint import code_fingerprint, fingerprint, homes, is_own


def network_fingerprint(segmenter: Segmenter) -> str:
    """All that the prediction for an image depends on beside the image: the weights of the network,
    what the strategy wants of it, and the code."""
    own = [
        home
        for home in homes(*dict.fromkeys(map(type, segmenter.network.modules())))
        if is_own(home)
    ]
    code = code_fingerprint(__name__, *own)
    return fingerprint(segmenter.network.state_dict(), segmenter.strategy.wants, code)


def query_untrained(
    segmenter: Segmenter, image: Tensor, network: str, cache: ArrayCache
) -> Prediction:
    """The prediction in round 0: intermediate features of the encoder, which may have been trained
    before, and the same probability for every class.

    Args:
        network: its fingerprint.
        cache: of the features, for the next iteration of a fit.
    """

    def make() -> Arrays:
        return {"features": intermediate_features(segmenter, image).half().numpy()}

    features = cache.get_or_make(("intermediate", network, image), make)["features"]
    return Prediction(
        torch.full((len(segmenter.classes), *image.shape[1:]), 1 / len(segmenter.classes)),
        intermediate=torch.from_numpy(features).float(),
    )
