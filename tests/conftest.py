"""Every test: one thread for the maths, the same random numbers each time, Ctrl+C as usual, no call
to wandb's servers, and tiny models in the place of those that are fetched from the hub."""

from __future__ import annotations

import os
import signal

# a shell ignores Ctrl+C for what it starts in the background, and so would the commands that tests
# start and interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)
# spinning threads of several processes starve each other on few cores; read at import, and by the
# processes that tests start
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"  # plans look for weights on this machine alone

import pytest  # noqa: E402
import torch  # noqa: E402

from tests.foundation.tiny_models import publish  # noqa: E402

torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Models of the hub are tiny ones, and what they make of images is not kept in the folder of
    the user."""
    # where pytest keeps things, also if it is called with -p no:cacheprovider
    publish(config.rootpath / ".pytest_cache" / "d" / "models")
    os.environ["WEAKSEG_ENCODINGS_GB"] = "0"


@pytest.fixture(autouse=True)
def commands_leave_the_process_to_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `command()` that a test calls handles no signals and no streams here, and ends nobody when
    it fails: later tests would find that."""
    monkeypatch.setattr("weakseg.utils.signals.Stopping.install", lambda self: None)
    monkeypatch.setattr("weakseg.utils.command.forgive", lambda: None)
    monkeypatch.setattr("weakseg.utils.command.end_within", lambda seconds, code: None)


@pytest.fixture(scope="session", autouse=True)
def a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests fetch and encode."""
    os.environ["WEAKSEG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    torch.manual_seed(0)
