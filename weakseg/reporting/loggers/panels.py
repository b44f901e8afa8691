"""How the figures of a run are arranged on a dashboard: sections of panels, and the figures of each
panel as regular expressions of their names."""

from __future__ import annotations

PANELS: dict[str, dict[str, list[str]]] = {
    "Network": {
        "Mean IoU on the validation images": ["val/miou"],
        "IoU of each class": ["val/iou/.*"],
        "Agreement with annotations": ["val/box_extent_iou", "val/marks_accuracy", "val/tags_f1"],
        "Average precision of objects": ["val/mask_ap", "val/box_ap"],
    },
    "Labels": {
        "Targets and evidence": ["label/miou", "evidence/miou", "label/coverage", "label/churn"],
        "How well other images predict the targets": ["label/consistency.*"],
        "IoU of the targets of each class": ["label/iou/.*"],
        "Share of each class in the targets": ["label/share/.*"],
        "Share of each class in what a step estimates": ["estimate/share/.*"],
    },
    "Training": {
        "Loss": ["loss/.*"],
        "Learning rate": ["learning_rate.*"],
        "Norm of the gradient": ["gradient_norm"],
        "Seconds of a step": ["time/.*"],
    },
}
