from __future__ import annotations

import subprocess
import sys

import pytest

from weakseg.utils.late_imports import lazily

TARGETS = ["fractions.Fraction", "collections.abc.Mapping"]


def test_imports_a_target_by_its_last_name() -> None:
    from collections.abc import Mapping

    assert lazily("package", TARGETS)("Mapping") is Mapping


def test_a_near_miss_is_told_the_right_name() -> None:
    with pytest.raises(AttributeError, match=r"package has no Maping; did you mean Mapping\?"):
        lazily("package", TARGETS)("Maping")


def test_a_far_miss_is_told_all_names() -> None:
    with pytest.raises(AttributeError, match="package has no Zebra; it has Fraction, Mapping"):
        lazily("package", TARGETS)("Zebra")


def test_names_of_strategies_are_known_without_torch() -> None:
    code = (
        "import sys; from weakseg.strategies import NAMES; assert 'boxes_crf' in NAMES; assert "
        "'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_strategies_can_be_imported_from_the_package() -> None:
    from weakseg.strategies import BoxesCRF
    from weakseg.strategies.boxes_crf import BoxesCRF as direct

    assert BoxesCRF is direct


def test_a_wrong_strategy_is_an_import_error_for_from_and_an_attribute_error_otherwise() -> None:
    import weakseg.strategies

    with pytest.raises(ImportError):
        from weakseg.strategies import BoxCRF  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(AttributeError, match="did you mean BoxesCRF"):
        _ = weakseg.strategies.BoxCRF
