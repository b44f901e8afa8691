import pytest

from weakseg.loggers.scrub import scrub, scrub_words


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
    ],
)
def test_what_is_called_a_secret_is_masked(name: str) -> None:
    assert scrub({"data": {name: "hunter2", "root": "x"}}) == {"data": {name: "***", "root": "x"}}
    assert scrub({name: 12345}) == {name: "***"}
    assert scrub_words([f"data.{name}=hunter2"]) == [f"data.{name}=***"]
    assert scrub_words([f"--{name}", "hunter2", "seed=1"]) == [f"--{name}", "***", "seed=1"]


@pytest.mark.parametrize("name", ["keypoints", "monkey", "keyboard", "tokenizer", "crop", "secretary", "author"])
def test_other_names_are_left_alone(name: str) -> None:
    assert scrub({name: "value"}) == {name: "value"}
    assert scrub_words([f"data.{name}=value"]) == [f"data.{name}=value"]


def test_urls_lose_their_user_and_their_secrets() -> None:
    assert scrub("s3://me:pw@host:9/x") == "s3://***@host:9/x"
    assert scrub(["https://host/x?id=3&X-Amz-Signature=abc&token=def"]) == ["https://host/x?id=3&X-Amz-Signature=***&token=***"]
    assert scrub_words(["data.root=https://me@host/x"]) == ["data.root=https://***@host/x"]
    assert scrub("mail me@host, see https://host/a@b") == "mail me@host, see https://host/a@b"


def test_a_mapping_below_a_secret_name_keeps_its_shape_and_nothing_is_changed_in_place() -> None:
    config = {"keys": {"password": "a", "n": 1}, "off": None, "token": None, "list": [{"secret": "b"}]}
    assert scrub(config) == {"keys": {"password": "***", "n": 1}, "off": None, "token": None, "list": [{"secret": "***"}]}
    assert config["keys"] == {"password": "a", "n": 1}
