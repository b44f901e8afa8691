"""Bounds on how much of an image each class covers, and the nearest labels that keep them."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.functional.constraints.bounds import Constraints as Constraints
    from weakseg.functional.constraints.bounds import box_constraints as box_constraints
    from weakseg.functional.constraints.bounds import class_constraints as class_constraints
    from weakseg.functional.constraints.bounds import combine as combine
    from weakseg.functional.constraints.bounds import size_constraints as size_constraints
    from weakseg.functional.constraints.bounds import tag_constraints as tag_constraints
    from weakseg.functional.constraints.posterior import (
        constrained_posterior as constrained_posterior,
    )
    from weakseg.functional.constraints.posterior import kl_to_posterior as kl_to_posterior

__getattr__ = lazily(
    __name__,
    [
        "weakseg.functional.constraints.bounds.Constraints",
        "weakseg.functional.constraints.bounds.box_constraints",
        "weakseg.functional.constraints.bounds.class_constraints",
        "weakseg.functional.constraints.bounds.size_constraints",
        "weakseg.functional.constraints.bounds.tag_constraints",
        "weakseg.functional.constraints.bounds.combine",
        "weakseg.functional.constraints.posterior.constrained_posterior",
        "weakseg.functional.constraints.posterior.kl_to_posterior",
    ],
)
