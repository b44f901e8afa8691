"""label_dataset: the pseudo-labels of a data set as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weakseg.config.recipe import RecipeError
from weakseg.data.formats.writing.formats import LabelFormat
from weakseg.labelling.call import Labelled as Labelled
from weakseg.labelling.call import Labelling
from weakseg.labelling.images import Subset, is_joint
from weakseg.labelling.source import Source
from weakseg.labelling.words import check_words
from weakseg.labelling.workers import Named, OnEngine
from weakseg.labelling.writing import Wanted
from weakseg.reporting.summaries import command_line
from weakseg.training.corrections_check import missing_folder
from weakseg.utils.engine import EngineName, Pool
from weakseg.utils.limits import Count, limited
from weakseg.utils.messages import one_line
from weakseg.utils.output_folder import OutputFolder

Section = Mapping[str, Any] | None
BATCH = 16  # images that a process of an engine is given at once, at most
NOT_JOINT = "{} is not fitted to all images together: there is nothing to describe; leave it out"


@limited
def label_dataset(
    recipe: str | None = None,
    run: str | Path | None = None,
    *,
    out: str | Path,
    checkpoint: str = "best",
    subset: Subset = "all",
    format: LabelFormat = "png",
    confidence: bool = False,
    probabilities: bool = False,
    overwrite: bool = False,
    parts: Count = 1,
    part: Count = 1,
    seed: int | None = None,
    init_from: Path | str | None = None,
    device: str = "auto",
    data: Section = None,
    strategy: Section = None,
    network: Section = None,
    rounds: Section = None,
    predict: Section = None,
    describe: bool = False,
    engine: EngineName = "local",
    actors: Count | None = None,
) -> Labelled:
    """Write the pseudo-labels of a data set: a mask for each image, as an indexed PNG in the folder
    of results, under the image's own relative name, and a summary with the most suspicious first.

    Targets that a run has estimated before are taken from its label store; nothing is estimated
    twice. An image that is broken is named in the summary and does not stop the others.

    Args:
        recipe: estimates the labels as the first round of a run of this recipe does, before any
            training. A name, or a file.
        run: a run folder, or a checkpoint in one, in place of a recipe: its strategy labels with
            the trained network where it queries one. Of a strategy that estimates nothing, the
            predictions of the network are the labels.
        out: the folder for the labels, which is made where there is none.
        checkpoint: of a run folder: best, last or a file.
        subset: which images: all of the data set, or those to train on (training) or to measure on
            (validation) alone; without those that lack the evidence.
        format: what the labels are written as, too, when all of them are there; png is for the
            masks alone.
        confidence: whether the probability of the label of each pixel is kept, too, in confidence/,
            as PNG files of 0 to 255. For soft labels, and with run=.
        probabilities: whether soft labels, or predictions, are kept, too, in probabilities/, as
            float16 [C,H,W] in .npz files. They are large.
        overwrite: whether labels that are in the folder already are written again.
        parts: into how many parts the images are split, for as many processes or machines.
        part: which of them is done here, from 1 on.
        seed: of the first weights of the network; null for that of the recipe.
        init_from: a checkpoint with the first weights of the network.
        device: cpu, cuda, cuda:1, mps or the like; auto for a GPU where there is one.
        data: the data set, such as data=folder data.root=photos, above what recipe or run says.
        strategy: its options, with recipe=.
        network: its options, with recipe=.
        rounds: workers is how many processes estimate, folder where the targets are kept.
        predict: scales, mirror image, windows and CRF, where predictions are the labels.
        describe: with parts, for a strategy that is fitted to all training images together: whether
            this part only describes its share of them. Each part is called so first, once for each
            iteration of the fit; else each part describes all images by itself.
        engine: what does the work: local is this process, with those of rounds.workers; ray is Ray
            Data, on the machines of a Ray that runs already, or on this one.
        actors: processes of engine=ray that label; null for one per GPU or, without any, core.
    """
    command = command_line("label", label_dataset, locals())
    check_words(
        recipe,
        run,
        out,
        parts,
        part,
        seed,
        init_from,
        data,
        strategy,
        network,
        describe,
        engine,
        actors,
    )
    given = {
        "data": data,
        "strategy": strategy,
        "network": network,
        "rounds": rounds,
        "predict": predict,
    }
    sections = {name: node for name, node in given.items() if node}
    named = Named(recipe, run, checkpoint, sections, seed, init_from, device)
    # GPUs are for the actors
    source = named.open() if engine == "local" else named.open("cpu")
    on_engine = None if engine == "local" else OnEngine(named, Pool(actors, device, BATCH))
    if missing := missing_folder(source.data):
        raise RecipeError(missing)
    folder = _folder(source, out, overwrite, parts, part)
    wanted = Wanted(confidence, probabilities)
    labelling = Labelling(source, folder, wanted, subset, command, on_engine)
    if describe and not is_joint(source):
        raise RecipeError(f"describe: {NOT_JOINT.format(type(source.segmenter.strategy).__name__)}")
    with folder:
        return labelling.describe() if describe else labelling.write(format)


def _folder(
    source: Source, out: str | Path, overwrite: bool, parts: int, part: int
) -> OutputFolder:
    """The folder of results; a RecipeError if it cannot be right."""
    # of files, in which no results may lie; the images may be elsewhere
    root = getattr(source.data, "root", None)
    images = getattr(getattr(source.data, "pictures", None), "folder", None)
    inputs = [path for path in dict.fromkeys([root, images]) if isinstance(path, Path)]
    try:
        return OutputFolder(out, inputs=inputs, parts=parts, part=part, overwrite=overwrite)
    except (ValueError, OSError) as error:
        raise RecipeError(one_line(error)) from None
