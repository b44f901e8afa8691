"""serve: a backend of Label Studio, until it is stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from weakseg.integrations.label_studio.backend import Backend
from weakseg.integrations.label_studio.server_files import ServerFiles
from weakseg.integrations.label_studio.task_images import TaskImages
from weakseg.integrations.label_studio.words import check_words
from weakseg.trained.loading import load_model
from weakseg.utils.limits import ZeroToOne, limited
from weakseg.utils.serving import import_server, in_url, is_loopback, listening
from weakseg.utils.serving import make_server as uvicorn_server

LOOPBACK = frozenset(["127.0.0.1", "localhost", "[::1]"])
CONNECTIONS = 64
EXTRA = "label_studio"


@limited
def serve(
    run: str | Path,
    images: Path | None = None,
    *,
    url: str | None = None,
    port: Annotated[int, Ge(0), Le(65535)] = 9090,
    host: str = "127.0.0.1",
    checkpoint: str = "best",
    threshold: ZeroToOne = 0.0,
    device: str = "auto",
    predict: Mapping[str, Any] | None = None,
) -> None:
    """Answer Label Studio as its machine learning backend: predictions of tasks, with their scores.

    The environment may hold LABEL_STUDIO_API_KEY, a token to download images with, and
    BASIC_AUTH_USER and BASIC_AUTH_PASS, which Label Studio is then given when the model is
    connected.

    Args:
        run: the trained network: a run folder, a checkpoint, an exported graph, or a published
            folder.
        images: the folder in which addresses of local files begin: Label Studio's document root,
            or its own folder media, for uploaded files.
        url: the address of Label Studio, from which images are downloaded that are not in the
            folder.
        port: that the backend listens on; 0 for a free one.
        host: the address that it listens on; others than that of this machine itself let other
            machines in.
        checkpoint: of a run folder: best, last or a file.
        threshold: pixels and objects whose probability is below it have no label.
        device: cpu, cuda or the like; auto for a GPU where there is one.
        predict: scales, mirror image, windows and CRF of predictions.
    """
    check_words(run, images, url)
    model = load_model(run, checkpoint, predict=predict, device=device)
    files = ServerFiles(url, os.environ.get("LABEL_STUDIO_API_KEY", "")) if url else None
    backend = Backend(model, TaskImages(images, files), threshold)
    server = make_server(backend, host)
    with listening(host, port, CONNECTIONS) as listener:
        number = listener.getsockname()[1]
        _say(f"network: {model.origin.path}")
        _say(f"classes: {', '.join(model.classes[1:])}")
        _say(f"version: {backend.version}")
        if warning := warning_of(host):
            print(warning, file=sys.stderr)
        _say(f"backend: http://{in_url(host)}:{number}; Ctrl+C ends it")
        server.run([listener])


def make_server(backend: Backend, host: str) -> Any:
    """A server of uvicorn for a backend. Its `run` answers until a signal comes.

    Args:
        backend: what answers.
        host: the address that it is going to listen on.
    """
    uvicorn = import_server(EXTRA)
    from weakseg.integrations.label_studio.app import Guard, make_app

    user = os.environ.get("BASIC_AUTH_USER", "")
    password = os.environ.get("BASIC_AUTH_PASS", "")
    guard = Guard(LOOPBACK if is_loopback(host) else None, user, password)
    return uvicorn_server(uvicorn, make_app(backend, guard, _say), CONNECTIONS)


def warning_of(host: str) -> str:
    """What to tell a person whose backend others can reach; empty for one that only this machine
    reaches."""
    if is_loopback(host) or os.environ.get("BASIC_AUTH_USER"):
        return ""
    return (
        f"host: {host} lets other machines use this backend; set BASIC_AUTH_USER and "
        "BASIC_AUTH_PASS, and give both to Label Studio, so that only it may"
    )


def _say(line: str) -> None:
    print(line, flush=True)
