"""The backend of Label Studio: its answers are what Label Studio's own package takes, pixel by
pixel, and requests of any kind are answered in a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integrations.projects import CONFIG, local, photos, request, task
from tests.prediction.fakes import Colours, Objects, labels_of, squares
from weakseg.data.formats.bitmask import unpack_bitmask
from weakseg.data.formats.painting import fill
from weakseg.integrations.label_studio import app as module
from weakseg.integrations.label_studio.backend import Backend
from weakseg.integrations.label_studio.task_images import TaskImages
from weakseg.trained.model import TrainedModel

testclient = pytest.importorskip("starlette.testclient", reason="an extra")

HEIGHT, WIDTH = 16, 24


class Server:
    """A backend around a model, with what it has logged."""

    def __init__(self, folder: Path, model: TrainedModel | None = None, **options: Any) -> None:
        self.lines: list[str] = []
        threshold = options.pop("threshold", 0.0)
        backend = Backend(model or Colours(), TaskImages(folder), threshold)
        guard = module.Guard(frozenset(["testserver"]), **options)
        self.http = testclient.TestClient(
            module.make_app(backend, guard, self.lines.append), raise_server_exceptions=False
        )

    def predict(self, *tasks: dict[str, Any], config: str = CONFIG) -> list[Any]:
        answer = self.http.post("/predict", json=request(tasks, config))
        assert answer.status_code == 200, answer.text
        found: list[Any] = answer.json()["results"]
        return found


def decoded(result: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The pixels of a brush, by Label Studio's own decoder."""
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    picture = brush.decode_rle(result["value"]["rle"]).reshape(HEIGHT, WIDTH, 4)
    found: np.ndarray[Any, np.dtype[np.bool_]] = picture[..., 3] > 0
    return found


def test_health_and_setup_answer_what_label_studio_asks_first(tmp_path: Path) -> None:
    http = Server(tmp_path).http
    assert http.get("/health").json()["status"] == "UP"
    body = {
        "project": "3.1764460000",
        "schema": CONFIG,
        "hostname": "http://localhost:8080",
        "access_token": "secret",
        "extra_params": None,
    }
    assert http.post("/setup", json=body).json() == {"model_version": "fake-11111111"}
    assert http.get("/versions").json() == {"versions": ["fake-11111111"]}


def test_each_class_is_a_mask_of_its_pixels_under_the_labels_of_the_project(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path)
    tasks = photos(tmp_path)
    for number, answer in enumerate(server.predict(*tasks)):
        labels = labels_of(squares(HEIGHT, WIDTH, seed=number))
        assert [one["value"]["brushlabels"] for one in answer["result"]] == [["Green"], ["sky"]]
        for result in answer["result"]:
            assert (result["from_name"], result["to_name"]) == ("mask", "photo")
            label = 1 if result["value"]["brushlabels"] == ["Green"] else 2
            np.testing.assert_array_equal(decoded(result), labels == label)
    assert len(server.lines) == 1
    assert server.lines[0].startswith("predicted: 3 images in ")


def test_answers_are_predictions_by_the_types_of_label_studio(tmp_path: Path) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    objects = pytest.importorskip("label_studio_sdk.label_interface.objects")
    interface = interfaces.LabelInterface(CONFIG)
    for model in (Colours(), Objects()):
        for answer in Server(tmp_path, model).predict(*photos(tmp_path)):
            value = objects.PredictionValue(**answer)
            assert value.model_version == "fake-11111111"
            assert 0 < value.score <= 1
            assert interface.validate_prediction(answer, return_errors=True) == []


def test_the_score_is_how_sure_the_network_is(tmp_path: Path) -> None:
    tasks = photos(tmp_path, count=1)
    answer = Server(tmp_path).predict(*tasks)[0]
    pixels = squares(HEIGHT, WIDTH).astype(np.float64) / 16
    probs = np.exp(pixels) / np.exp(pixels).sum(-1, keepdims=True)
    assert answer["score"] == pytest.approx(probs.max(-1).mean(), abs=1e-5)


def test_bitmasks_are_pictures_of_the_same_pixels(tmp_path: Path) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    config = CONFIG.replace("BrushLabels", "BitmaskLabels")
    answer = Server(tmp_path).predict(*photos(tmp_path, count=1), config=config)[0]
    errors = interfaces.LabelInterface(config).validate_prediction(answer, return_errors=True)
    assert errors == []
    labels = labels_of(squares(HEIGHT, WIDTH))
    for result in answer["result"]:
        label = 1 if result["value"]["bitmasklabels"] == ["Green"] else 2
        runs = unpack_bitmask(result["value"]["imageDataURL"], WIDTH, HEIGHT)
        np.testing.assert_array_equal(runs.unpack(), labels == label)


def test_polygons_cover_the_same_pixels(tmp_path: Path) -> None:
    config = CONFIG.replace("BrushLabels", "PolygonLabels")
    answer = Server(tmp_path).predict(*photos(tmp_path, count=1), config=config)[0]
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    for result in answer["result"]:
        ring = np.array(result["value"]["points"]) * [WIDTH / 100, HEIGHT / 100]
        patch = fill([ring.round(6)], WIDTH, HEIGHT)
        label = 1 if result["value"]["polygonlabels"] == ["Green"] else 2
        found[patch.rows, patch.columns][patch.covered] = label
    labels = labels_of(squares(HEIGHT, WIDTH))
    np.testing.assert_array_equal(found, labels)


def test_rectangles_go_around_objects(tmp_path: Path) -> None:
    config = (
        '<View><Image name="photo" value="$picture"/><RectangleLabels name="f" toName="photo">'
        '<Label value="green"/><Label value="blue"/></RectangleLabels></View>'
    )
    answer = Server(tmp_path, Objects()).predict(*photos(tmp_path, count=1), config=config)[0]
    assert [result["score"] for result in answer["result"]] == [0.5, 0.75]
    rows, columns = np.nonzero(labels_of(squares(HEIGHT, WIDTH)) == 1)
    value = answer["result"][1]["value"]
    edges = [value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"]]
    expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    per_cent = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT]) / 100
    np.testing.assert_allclose(np.array(edges) * per_cent, expected)


def test_unsure_pixels_are_painted_as_ignored_where_the_project_has_that_label(
    tmp_path: Path,
) -> None:
    config = CONFIG.replace('value="cloud"', 'value="ignored"')
    tasks = photos(tmp_path, count=1)
    answer = Server(tmp_path, threshold=1.0).predict(*tasks, config=config)[0]
    (result,) = answer["result"]
    assert result["value"]["brushlabels"] == ["ignored"]
    assert decoded(result).all()
    assert Server(tmp_path, threshold=1.0).predict(*tasks)[0]["result"] == []


def test_an_image_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    server = Server(tmp_path)
    first, second, third = photos(tmp_path)
    second["data"]["picture"] = local("gone.png")
    third["data"] = {"text": "x"}
    answers = server.predict(first, second, third)
    assert answers[0]["result"]
    # Label Studio stores no prediction for an empty list, and one of nothing for an empty result
    assert answers[1:] == [[], []]
    assert server.lines[0].startswith(
        "not predicted: task 11: the image '/data/local-files/?d=gone"
    )
    assert "task 12: its data has no field picture" in server.lines[1]
    assert server.lines[2].startswith("predicted: 1 image in ")


def test_if_no_image_can_be_read_the_request_fails_with_the_reason(tmp_path: Path) -> None:
    server = Server(tmp_path)
    answer = server.http.post("/predict", json=request([task(7, local("gone.png"))]))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("task 7: the image '/data/local-files/?d=gone.png'")
    assert server.lines == [f"refused: /predict: {answer.json()['error']}"]


def test_a_project_without_the_classes_is_refused_when_the_model_is_connected(
    tmp_path: Path,
) -> None:
    config = CONFIG.replace("Green", "dog").replace("blue", "cat")
    answer = Server(tmp_path).http.post("/setup", json={"project": "3.1", "schema": config})
    assert answer.status_code == 422
    assert "whose labels are classes of the network" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/webhook", "/train"])
def test_it_does_not_train_and_says_so(path: str, tmp_path: Path) -> None:
    answer = Server(tmp_path).http.post(path, json={"action": "START_TRAINING"})
    assert answer.status_code == 200
    assert "python -m weakseg.fit" in answer.json()["status"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b"{}", 400),
        (b'{"tasks": 1}', 400),
        (b'{"tasks": [1]}', 400),
        (b'{"tasks": []}', 400),
        (b'{"tasks": [], "label_config": 5}', 400),
        (b'{"tasks": [], "label_config": "<View/>"}', 422),
    ],
)
def test_bodies_of_any_kind_are_answered_in_a_line(
    content: bytes, status: int, tmp_path: Path
) -> None:
    server = Server(tmp_path)
    headers = {"content-type": "application/json"}
    answer = server.http.post("/predict", content=content, headers=headers)
    assert answer.status_code == status
    assert "\n" not in answer.json()["error"]


def test_no_tasks_have_no_answers(tmp_path: Path) -> None:
    assert Server(tmp_path).predict() == []


def test_large_bodies_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    http = Server(tmp_path).http
    headers = {"content-type": "application/json"}

    def pieces() -> Any:
        for _ in range(3):
            yield b" " * 500

    assert http.post("/predict", content=b" " * 1001, headers=headers).status_code == 413
    assert http.post("/predict", content=pieces(), headers=headers).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0.01)  # one byte after the other, for ever
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    app = Server(tmp_path).http.app
    asyncio.run(app({**scope, "query_string": b"", "server": ("testserver", 80)}, receive, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_page_of_another_site_cannot_make_requests(kind: str, tmp_path: Path) -> None:
    content = json.dumps(request([])).encode()
    answer = Server(tmp_path).http.post("/predict", content=content, headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("host", "status"),
    [("testserver:9090", 200), ("TESTSERVER", 200), ("evil.example", 403), ("", 403)],
)
def test_only_its_own_names_are_answered(host: str, status: int, tmp_path: Path) -> None:
    http = Server(tmp_path).http
    assert http.get("/health", headers={"host": host}).status_code == status


def test_whoever_does_not_know_the_password_is_not_answered(tmp_path: Path) -> None:
    http = Server(tmp_path, user="me", password="pass:word").http
    assert http.get("/health").status_code == 401
    assert http.get("/health", auth=("me", "wrong")).status_code == 401
    assert http.get("/health", auth=("me", "pass:word")).status_code == 200
    assert http.post("/predict", json=request([])).status_code == 401
    # Label Studio has no password for webhooks
    assert http.post("/webhook", json={}).status_code == 200


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    http = Server(tmp_path).http
    assert "/health, /setup, /predict" in http.get("/predictions").json()["error"]
    assert http.get("/predict").status_code == 405


def test_a_mistake_of_the_code_is_no_traceback_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Callable[..., Any]:
        raise RuntimeError("secret of the machine")

    server = Server(tmp_path)
    monkeypatch.setattr(Backend, "predict", fail)
    answer = server.http.post("/predict", json=request([]))
    assert answer.status_code == 500
    assert answer.json() == {"error": "the backend made a mistake, which its terminal shows"}
