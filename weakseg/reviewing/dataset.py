"""review_dataset: a page on which a person corrects the evidence of a data set."""

from __future__ import annotations

import getpass
import sys
import threading
import webbrowser
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Le

from weakseg.labelling.images import Subset
from weakseg.reviewing.material import Material, material_of_recipe, material_of_run
from weakseg.reviewing.serving import EXTRA, Address, serving, warning_of
from weakseg.reviewing.session import ReviewSession
from weakseg.reviewing.words import check_words
from weakseg.utils.limits import limited
from weakseg.utils.serving import import_server

Section = Mapping[str, Any] | None
Port = Annotated[int, Ge(0), Le(65535)]


class Reviewed(NamedTuple):
    """What a session leaves."""

    corrections: Path
    """the folder"""
    counts: dict[str, int]
    """of images that are accepted, skipped, excluded, or open"""
    train_command: str
    """what trains with the corrections"""


@limited
def review_dataset(
    run: str | Path | None = None,
    recipe: str | None = None,
    *,
    corrections: Path | None = None,
    queue: Path | None = None,
    checkpoint: str = "best",
    subset: Subset = "training",
    host: str = "127.0.0.1",
    port: Port = 0,
    open: bool = True,
    who: str | None = None,
    device: str = "auto",
    data: Section = None,
    strategy: Section = None,
    network: Section = None,
    predict: Section = None,
    rounds: Section = None,
) -> Reviewed:
    """Open a page in the browser on which a person reviews the images of a data set, the most
    suspicious first, and corrects their evidence: every correction is saved at once, and targets
    are estimated anew while the person looks.

    It ends with Ctrl+C. In Python, `weakseg.reviewing.serving.serving` serves a session in the
    background.

    Args:
        run: a run folder, or a checkpoint in one: its data set, with its strategy and its trained
            network.
        recipe: in place of a run: its data set, with its strategy, before any training. A name, or
            a file; mixed where data= alone says what is reviewed.
        corrections: the folder in which corrections are kept; null for that of the recipe, or else
            corrections/ in the run, or in the root of the data set.
        queue: a review.csv in whose order images come, such as that of `weakseg.check tags_by=`;
            null for that of the run, or else they are measured while the page is open.
        checkpoint: of a run folder: best, last or a file.
        subset: which images: those to train on (training), those to measure on (validation), or
            all.
        host: the address to listen on; 127.0.0.1 lets no other machine in.
        port: to listen on; 0 for a free one.
        open: whether the page is opened in the browser.
        who: the name that corrections are kept under; null for that of the user of this machine.
        device: cpu, cuda, cuda:1, mps or the like; auto for a GPU where there is one.
        data: the data set, such as data=folder data.root=photos, above what recipe or run says.
        strategy: its options, with recipe=.
        network: its options, with recipe=.
        predict: scales, mirror image, windows and CRF of the predictions that are shown.
        rounds: folder where targets are kept.
    """
    check_words(run, recipe, data, strategy, network, queue)
    import_server(EXTRA)
    sections = {
        name: node
        for name, node in {
            "data": data,
            "strategy": strategy,
            "network": network,
            "predict": predict,
            "rounds": rounds,
        }.items()
        if node
    }
    if run is not None:
        material = material_of_run(str(run), checkpoint, corrections, sections, device)
    else:
        material = material_of_recipe(recipe, corrections, sections, device)
    material = replace(material, queue=queue)
    session = ReviewSession(material, subset, login() if who is None else who)
    if warning := warning_of(host):
        print(f"warning: {warning}", file=sys.stderr)
    with serving(session, host, port) as address:
        print("\n".join(_lines(address, material)), flush=True)
        if open:
            webbrowser.open(address.url_once)
        _wait()
    return Reviewed(material.corrections, session.queue()["counts"], material.train_command)


def login() -> str:
    """The name of the user of this machine; empty where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _lines(address: Address, material: Material) -> list[str]:
    return [
        f"page: {address.url}",
        f"corrections: {material.corrections}",
        f"train with them: {material.train_command}",
        "Ctrl+C ends it; everything is saved already",
    ]


def _wait() -> None:
    """Until Ctrl+C."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
