"""The image of a task: a file below one folder, or a download from one server, and nothing else,
since whoever writes a task may write any address into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import parse_qs, unquote, urlsplit

from torch import Tensor

from weakseg.data.formats.base import FormatError
from weakseg.data.formats.images import read_image
from weakseg.data.formats.opening import inside
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.integrations.label_studio.server_files import ServerFiles
from weakseg.utils.messages import quoted

LOCAL = "/data/local-files/"  # of a storage of local files, behind ?d=
UPLOADED = "/data/upload/"  # of files that people have uploaded, below Label Studio's folder media
LONGEST = 4096  # characters of an address


class TaskImages:
    """Reads the images of tasks.

    Args:
        folder: where the addresses of local files begin, Label Studio's document root; or its own
            folder `media`, for uploaded files. None for downloads alone.
        server: where images are downloaded that are not in the folder; None for nowhere.
    """

    def __init__(self, folder: Path | None, server: ServerFiles | None = None) -> None:
        self.folder = folder
        self.server = server

    def read(self, address: object) -> Tensor:
        """uint8 [3,H,W], upright; a Refusal if the address leads to no image that may be read."""
        if not isinstance(address, str) or not 0 < len(address) <= LONGEST:
            raise Refusal(f"the address of the image should be text, but it is {quoted(address)}")
        try:
            with self._file(address) as path:
                return read_image(path)
        except FormatError as error:
            raise Refusal(_without_folder(error, address)) from None

    @contextmanager
    def _file(self, address: str) -> Iterator[Path]:
        here = self._local(address)
        if here is not None and (here.is_file() or self.server is None):
            if not here.is_file():
                raise Refusal(
                    f"the image {quoted(address)} is no file of the folder images= "
                    f"({self.folder}), in which the addresses of local files begin: Label Studio's "
                    "document root, or its folder media for uploaded files"
                )
            yield here
            return
        if self.server is None:
            raise Refusal(
                f"the image {quoted(address)} is none of a local file; url=<address of Label "
                "Studio> downloads it from there, if it is served there"
            )
        with NamedTemporaryFile(prefix="weakseg-") as file:
            self.server.download(address, file)
            file.flush()
            yield Path(file.name)

    def _local(self, address: str) -> Path | None:
        """Where an address leads in the folder; None for one that leads elsewhere."""
        name = local_name(address)
        if self.folder is None or name is None:
            return None
        try:
            return inside(self.folder, name)
        except FormatError:
            raise Refusal(
                f"the image {quoted(address)} leads out of the folder images= ({self.folder})"
            ) from None


def local_name(address: str) -> str | None:
    """The name of a file that an address may mean in the folder; None where it names another
    server.

    >>> local_name("/data/local-files/?d=north/022%20a.png"), local_name("/data/upload/3/a.png")
    ('north/022 a.png', 'upload/3/a.png')
    >>> local_name("north/022.png"), local_name("https://example.com/022.png")
    ('north/022.png', None)
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme or parts.netloc:
        return None
    if parts.path in (LOCAL, LOCAL.rstrip("/")):
        name = next(iter(parse_qs(parts.query).get("d", [])), None)
        return name and name.lstrip("/")  # from the document root on, as Label Studio has it
    path = unquote(parts.path)
    if path.startswith(UPLOADED):
        return path.removeprefix("/data/")
    return None if path.startswith("/") else path or None


def _without_folder(error: FormatError, address: str) -> str:
    """What is wrong with an image, by the address that its task has."""
    found = f"{error.what} should be {error.expected}, but it is {error.came}"
    return f"the image {quoted(address)}: {found}"
