import time
from typing import Any

import pytest
import yaml

from weakseg.utils.secrets import scrub, scrub_message, scrub_text, scrub_words, scrub_yaml


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "api_key",
        "apiKey",
        "APIKEY",
        "api-key",
        "WANDB_API_KEY",
        "token",
        "auth_token",
        "hfTokens",
        "secret",
        "client_secret",
        "password",
        "passwd",
        "pat",
        "github_pat",
        "auth",
        "Authorization",
        "cookie",
        "sas",
    ],
)
def test_what_is_called_a_secret_is_masked(name: str) -> None:
    assert scrub({"data": {name: "hunter2", "root": "x"}}) == {"data": {name: "***", "root": "x"}}
    assert scrub({name: 12345}) == {name: "***"}
    assert scrub_words([f"data.{name}=hunter2"]) == [f"data.{name}=***"]
    assert scrub_words([f"--{name}", "hunter2", "seed=1"]) == [f"--{name}", "***", "seed=1"]


@pytest.mark.parametrize(
    "name",
    [
        "keypoints",
        "monkey",
        "keyboard",
        "tokenizer",
        "crop",
        "secretary",
        "author",
        "path",
        "pattern",
        "sigma",
        "passes",
        "size",
    ],
)
def test_other_names_are_left_alone(name: str) -> None:
    assert scrub({name: "value"}) == {name: "value"}
    assert scrub_words([f"data.{name}=value"]) == [f"data.{name}=value"]


def test_urls_lose_their_user_and_their_secrets() -> None:
    assert scrub("s3://me:pw@host:9/x") == "s3://***@host:9/x"
    assert scrub(["https://host/x?id=3&X-Amz-Signature=abc&token=def"]) == [
        "https://host/x?id=3&X-Amz-Signature=***&token=***"
    ]
    assert scrub_words(["data.root=https://me@host/x"]) == ["data.root=https://***@host/x"]
    assert scrub("mail me@host, see https://host/a@b") == "mail me@host, see https://host/a@b"


def test_a_mapping_below_a_secret_name_keeps_its_shape_and_nothing_is_changed_in_place() -> None:
    config = {
        "keys": {"password": "a", "n": 1},
        "off": None,
        "token": None,
        "list": [{"secret": "b"}],
    }
    assert scrub(config) == {
        "keys": {"password": "***", "n": 1},
        "off": None,
        "token": None,
        "list": [{"secret": "***"}],
    }
    assert config["keys"] == {"password": "a", "n": 1}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{user: me, passwd: hunter2}", "{user: me, passwd: ***}"),
        ("{'user': 'me', 'api_key': 'hunter2', 'n': 1}", "{'user': 'me', 'api_key': ***, 'n': 1}"),
        ('login={"token": "hun ter2"}', 'login={"token": ***}'),
        ("user=me;password=hunter2;host=h", "user=me;password=***;host=h"),
        ("https://me:p@ss@host/x", "https://***@host/x"),
        ("https://host/x?sv=1&sig=hunter2", "https://host/x?sv=1&sig=***"),
        ("Authorization: Bearer hunter2hunter2", "Authorization: *** ***"),
        ("cannot log in with ghp_0123456789abcdef", "cannot log in with ***"),
        (
            "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=hunter2==;"
            "EndpointSuffix=core",
            "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=***;EndpointSuffix=core",
        ),
        (
            "Endpoint=sb://h/;SharedAccessKeyName=***;SharedAccessKey=hunter2",
            "Endpoint=sb://h/;SharedAccessKeyName=***;SharedAccessKey=***",
        ),
        ("clientSecret: 'hun ter2', n: 3", "clientSecret: ***, n: 3"),
        ("refused: password=hunter2", "refused: password=***"),
        ("mysql -u me -p hunter2 -h host", "mysql -u me -p *** -h host"),
        ("login --password hunter2 --retries 3", "login --password *** --retries 3"),
        ("['login', '--password', 'hunter2']", "['login', '--password', ***]"),
        ("s3:/me:hunter2@b/x?token=hunter2", "s3:/***@b/x?token=***"),
        ("pairs: [[user, me], [password, hunter2]]", "pairs: [[user, me], [password, ***]]"),
        ("('token', 'hunter2')", "('token', ***)"),
        ("classes: [key, monkey, lock], f(key, x)", "classes: [key, monkey, lock], f(key, x)"),
        ("KeyError: 'crop'", "KeyError: 'crop'"),
        ("nothing-p 5, a -path 5, 3 - p 5", "nothing-p 5, a -path 5, 3 - p 5"),
        (
            "crop: 5, path: here, keypoints: 3, a monkey: 4",
            "crop: 5, path: here, keypoints: 3, a monkey: 4",
        ),
    ],
)
def test_secrets_in_a_text_are_masked(text: str, shown: str) -> None:
    assert scrub_text(text) == shown
    assert scrub({"note": text}) == {"note": shown}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            ["login", "--password", "hunter2", "--retries", 3],
            ["login", "--password", "***", "--retries", 3],
        ),
        (["mysql", "-p", "hunter2"], ["mysql", "-p", "***"]),
        (
            [["user", "me"], ["password", "hunter2"], ["pin", 5]],
            [["user", "me"], ["password", "***"], ["pin", 5]],
        ),
        (("apiKey", 1234567), ["apiKey", "***"]),
        (["key", "monkey", "lock"], ["key", "monkey", "lock"]),
    ],
)
def test_the_pairs_in_a_list_are_masked(value: Any, shown: Any) -> None:
    assert scrub(value) == shown
    secret = next((entry for entry in ("hunter2", 1234567) if str(entry) in str(value)), None)
    assert (
        secret is None
        or scrub_text(f"refused {secret}", {"data": {"options": value}}) == "refused ***"
    )


def test_a_message_about_an_option_keeps_its_name() -> None:
    assert scrub_message(
        "data.token: expected a number, but it is 'hunter2'", {"data": {"token": "hunter2"}}
    ) == ("data.token: expected a number, but it is '***'")


@pytest.mark.parametrize(
    "piece", ["a", "-", "a-", "[a", "a= ", " ", "s3:/", "A.b+", "key=", "?a&", "bearer "]
)
def test_a_long_text_is_scrubbed_in_time(piece: str) -> None:
    began = time.process_time()
    scrub_text(piece * 30000)  # in the square of its length it would take minutes
    assert time.process_time() - began < 10


def test_the_secrets_of_a_recipe_are_masked_wherever_a_text_has_them() -> None:
    config = {
        "data": {
            "token": "hunter2",
            "login": "{passwd: swordfish}",
            "root": "https://me:sesame@host",
            "pin": {"key": 1234567},
            "crop": 5,
        }
    }
    assert scrub_text("hunter2 swordfish sesame 1234567 me 5", config) == "*** *** *** *** me 5"


def test_a_recipe_without_its_secrets_is_still_a_recipe() -> None:
    text = (
        "# boxes\n"
        "strategy:\n"
        "  name: boxes_crf\n"
        "data:\n"
        "  rates: [1, 2]\n"
        "  token: hunter2\n"
        "  login: '{user: me, passwd: hunter2}'\n"
        "seed: 3\n"
    )
    shown = scrub_yaml(text)
    assert "hunter2" not in shown
    assert yaml.safe_load(shown) == {
        "strategy": {"name": "boxes_crf"},
        "data": {"rates": [1, 2], "token": "***", "login": "{user: me, passwd: ***}"},
        "seed": 3,
    }
