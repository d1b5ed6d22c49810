"""`plan --gpu`: hours and prices of machines, from the Hub's list and the recipe."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.builds import SHARED, write_seeds
from tests.engines.chat_server import ChatServer
from tests.hub.fixtures import HubClient
from tests.hub.server import HubServer
from tests.rented.configs import CLIP, OPEN_CLIP, QWEN_7B, QWEN_7B_AWQ
from tests.rented.test_work import PUBLISHED
from unicorn_hf import load_recipe
from unicorn_hf.rented.quotes import Quote, Quotes, Rental, to_rent
from unicorn_hf.rented.work import work_of

MODEL = "maker/seven"
CLOSED = {"HF_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def options(hub: HubServer, hub_client: HubClient) -> list[str]:
    """A recipe whose model is on the Hub, without its weights."""
    hub.add_repository(MODEL, {"config.json": json.dumps(QWEN_7B).encode()})
    seeds = write_seeds(hub_client.home / "seeds.txt")
    numbers = ["--captions", "100000", "--instructions", "40000"]
    return ["plan", "--seeds", str(seeds), "--llm", MODEL, "--encoder", "hashing:8", *numbers]


def quotes(client: HubClient, *command: str) -> dict[str, Any]:
    done = client.command(*command, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_machines_are_compared(hub_client: HubClient, options: list[str]) -> None:
    names = ["t4-small", "l4x1", "a100-large", "a100x4", "rtx-pro-6000x2", "h200", "H200"]
    found = quotes(hub_client, *options, *(f"--gpu={name}" for name in names))
    assert found["rented"]["model"] == MODEL
    assert "rehearsal" in found["rented"]["work"]["source"]
    assert found["needed"]["captions"]["asked"] == 100_000
    machines = {one["name"]: one for one in found["rented"]["machines"]}
    assert list(machines) == names
    t4 = machines.pop("t4-small")
    assert "15.2 GB" in t4["problem"]
    assert "tensor_parallel_size=2" in t4["advice"]
    assert machines.pop("H200")["cost"] is None
    for one in machines.values():
        assert one["problem"] == ""
        assert one["cost"] == pytest.approx(one["hours"] * one["per_hour"])
        assert one["currency"] == "USD"
    assert machines["l4x1"]["per_hour"] == pytest.approx(1.2)
    assert machines["a100-large"]["gpu"] == machines["a100x4"]["gpu"] == "A100-80GB"
    assert (machines["a100x4"]["workers"], machines["rtx-pro-6000x2"]["workers"]) == (4, 2)
    engine_hours = [machines[name]["engine_hours"] for name in ("l4x1", "a100-large", "h200")]
    assert engine_hours == sorted(engine_hours, reverse=True)
    assert machines["a100x4"]["engine_hours"] == pytest.approx(machines["a100-large"]["engine_hours"] / 4)


def test_it_is_told_in_words_with_the_command_that_rents(hub_client: HubClient, options: list[str]) -> None:
    more = ["--encoder", "clip:maker/none", "--gpu", "a100-large", "--gpu=t4-small", "--gpu=H100"]
    done = hub_client.command(*options, *more)
    assert done.returncode == 0, done.stderr
    for words in ("within a factor of 2", "1 × A100-80GB", "USD; without the encoder", "15.2 GB"):
        assert words in done.stdout
    assert "no price given (--set price.per_worker_hour=PRICE)" in done.stdout
    assert "100,000 rows: " in done.stdout
    assert "rejections and lengths are not known" in done.stdout
    assert "No requests were sent" in done.stdout


def test_the_command_that_rents_has_the_arguments_of_plan(hub_client: HubClient, options: list[str]) -> None:
    title, work = "title=Two words", "hf://buckets/unicorn-lab/work/set"
    shared = ["demo", *options[1:], "--work-dir", work, "--exclude-benchmarks", "--language", "en", "--set", title]
    done = hub_client.command("plan", "--gpu=a100x4", *shared, "--answers=here", "--workers=2", "--sample=0")
    assert done.returncode == 0, done.stderr
    rent, _, last = done.stdout.splitlines()[-1].strip().partition(" build.py ")
    assert rent.startswith("hf jobs uv run --flavor a100x4 --timeout ")
    given = shlex.split(last)
    assert given[0] == "demo"
    assert given[-2:] == ["--push", "ORG/NAME"]
    assert sorted(given[:-2]) == sorted(shared)


def test_nothing_is_rented_for_a_language_model_if_the_text_is_kept(hub_client: HubClient) -> None:
    child = ["--from", str(PUBLISHED), "--captions", "4", "--transfer", "none"]
    done = hub_client.command("plan", *child, "--gpu", "l4x1")
    assert done.returncode == 0, done.stderr
    assert "\n      start 3.0 min\n" in done.stdout
    assert "tokens/s" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith(f" build.py {shlex.join(child)} --push ORG/NAME")


def test_a_gpu_has_the_recipes_price(hub_client: HubClient, options: list[str]) -> None:
    price = ["--set", "price.per_worker_hour=3", "--set", "price.currency=EUR", "--workers", "2"]
    (one,) = quotes(hub_client, *options, "--gpu", "H100", *price, "--sample", "0")["rented"]["machines"]
    assert (one["per_hour"], one["currency"], one["num_gpus"], one["workers"]) == (6, "EUR", 2, 2)


def test_gpus_are_known_without_the_hub(hub_client: HubClient, options: list[str]) -> None:
    # The model's configuration is in the cache then.
    assert quotes(hub_client, *options, "--gpu", "h100")
    done = hub_client.command(*options, "--gpu", "H100", "--gpu", "a10g", "--json", env=CLOSED)
    assert done.returncode == 0, done.stderr
    assert [one["gpu"] for one in json.loads(done.stdout)["rented"]["machines"]] == ["H100", "A10G"]
    refused = hub_client.command(*options, "--gpu", "a100-large", env=CLOSED)
    assert refused.returncode == 1
    assert "RTX-PRO-6000" in refused.stderr
    assert "cannot be reached" in refused.stderr


def test_an_old_huggingface_hub_is_named(hub_client: HubClient, options: list[str]) -> None:
    code = "import sys, huggingface_hub as h; del h.HfApi.list_jobs_hardware; from unicorn_hf.cli import main; main()"
    refused = hub_client.run(code, *options, "--gpu", "l4x1")
    assert "huggingface_hub>=1.4" in refused.stderr
    assert refused.returncode == 1


def test_an_unknown_machine_is_refused_with_those_that_are_known(hub_client: HubClient, options: list[str]) -> None:
    refused = hub_client.command(*options, "--gpu", "cpu-basic")
    assert refused.returncode == 2
    assert "rtx-pro-6000x2" in refused.stderr
    assert "A100-40GB" in refused.stderr
    assert "TPU v5e" in hub_client.command(*options, "--gpu", "v5e-1x1").stderr


@pytest.mark.parametrize(
    "machine",
    [
        ("odd", "A100", 0.5, "80 GB", 1),
        ("odd", "A100", "many", "80 GB", 1),
        ("odd", "A100", 1, None, 1),
        ("odd", None, 1, "80 GB", 1),
        ("odd", "A100", 1, "80 GB", -5),
        ("odd", "A100", 1, "80 GB", float("nan")),
    ],
)
def test_a_machine_of_another_form_is_refused_alone(
    machine: Any, hub: HubServer, hub_client: HubClient, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "hardware", [*hub.hardware, machine])
    refused = hub_client.command(*options, "--gpu", "odd")
    assert refused.returncode == 2
    assert "the Hub describes odd in an unknown form: " in refused.stderr
    assert quotes(hub_client, *options, "--gpu", "a100-large", "--sample", "0")


def test_a_model_without_a_configuration_is_refused(hub: HubServer, hub_client: HubClient, options: list[str]) -> None:
    hub.add_repository("maker/empty", {"README.md": b""})
    refused = hub_client.command(*options, "--llm", "maker/empty", "--gpu", "H100")
    assert refused.returncode == 2
    assert "configuration" in refused.stderr
    nameless = hub_client.command("plan", "--engine", "echo", "--encoder", "hashing:8", "--gpu", "H100")
    assert nameless.returncode == 2
    assert "--llm" in nameless.stderr


def test_a_job_has_no_models_of_the_demonstration() -> None:
    work = work_of(load_recipe("demo", {"captions.num": 8, "instructions.num": 0}))
    flavor = Quote(name="l4x1", gpu="L4", num_gpus=1, is_flavor=True, currency="USD")
    told = to_rent(Quotes(work=work, model="demo:smollm2-135m-instruct", machines=[flavor]), ["demo"])
    assert "--llm MODEL" in told[-1]
    assert told[-2].endswith("build.py demo --push ORG/NAME")


@pytest.mark.slow
def test_a_server_here_writes_the_sample(hub_client: HubClient, options: list[str]) -> None:
    with ChatServer().running() as server:
        served = ["--engine", "endpoint", "--base-url", server.url, *SHARED]
        asked = [*served, "--sample", "8", "--instructions", "0", "--gpu", "H100"]
        found = quotes(hub_client, *options, *asked)
    assert "a sample of 8 captions" in found["rented"]["work"]["source"]
    assert found["rented"]["work"]["captions"]["requests"] == pytest.approx(found["captions"]["requests"]["value"])


@pytest.mark.parametrize("config", [{"config.json": CLIP}, {"open_clip_config.json": OPEN_CLIP}])
def test_an_encoder_takes_its_time(tmp_path: Path, config: dict[str, Any]) -> None:
    models = {"model": {"config.json": QWEN_7B_AWQ}, "large": {"config.json": QWEN_7B}, "encoder": config}
    for name, files in models.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(json.dumps(content))
    clip = f"clip:{tmp_path / 'encoder'}"
    llm2clip = f"llm2clip:{tmp_path / 'encoder'}+{tmp_path / 'large'}"
    recipe = load_recipe(
        "demo",
        {
            "engine": {"kind": "vllm", "model": str(tmp_path / "model"), "max_model_len": 4096},
            "seeds.sources": [{"kind": "file", "path": str(write_seeds(tmp_path / "seeds.txt"))}],
            "captions.num": 1_000_000,
            "instructions.num": 0,
        },
    )
    work = work_of(recipe).model_copy(update={"caption_tokens": 154.0})

    def quote_of(gpu: str, encoder: str, **more: object) -> Quote:
        asked = recipe.representations.model_copy(update={"encoder": encoder, **more})
        (one,) = Rental.of(recipe.model_copy(update={"representations": asked}), [gpu]).quotes(work).machines
        return one

    # 1 million captions of 77 tokens, 85 million parameters, at 40 % of 989 TFLOP/s.
    hours = 2 * 85e6 * 77 * 1e6 / (0.4 * 989e12) / 3600
    assert quote_of("H100", clip).encoder_hours == pytest.approx(hours, rel=0.01)
    assert quote_of("H100", clip, long_captions="chunk").encoder_hours == pytest.approx(2 * hours, rel=0.01)
    assert (quote_of("H100", llm2clip).encoder_hours or 0) > 50 * hours
    assert quote_of("T4", clip).problem == ""
    assert "encoder's weights" in quote_of("T4", llm2clip).problem
    assert quote_of("H100", "hashing:8").encoder_hours == 0
    assert quote_of("H100", f"clip:{tmp_path / 'none'}").encoder_hours is None
