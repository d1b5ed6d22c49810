"""A build names, before its first request, an encoder that is not here and cannot be downloaded."""

import pytest

from tests.hub.fixtures import HubClient

ASK = "import sys; from unicorn_hf.hub.consent import encoder_problem; print(encoder_problem(sys.argv[1]))"


@pytest.mark.parametrize("name", ["hashing:64", "clip:/models/clip", "open_clip:demo:minilm"])
def test_an_encoder_without_a_model_on_the_hub_asks_nothing(hub_client: HubClient, name: str) -> None:
    assert hub_client.run(ASK, name).stdout == "None\n"
    assert not hub_client.hub.seen


def test_a_model_that_the_hub_lacks_is_named(hub_client: HubClient) -> None:
    told = hub_client.run(ASK, "clip:some/clpi").stdout
    assert told.startswith("the Hub has no model some/clpi") and "--encoder" in told


def test_a_hub_that_cannot_be_reached_is_named(hub_client: HubClient) -> None:
    assert (
        "cannot be reached" in hub_client.run(ASK, "clip:some/clip", env={"HF_ENDPOINT": "http://127.0.0.1:9"}).stdout
    )
    assert "HF_HUB_OFFLINE" in hub_client.run(ASK, "clip:some/clip", env={"HF_HUB_OFFLINE": "1"}).stdout
