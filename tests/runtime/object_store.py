"""Remote storage for work folders: a real S3 server, from a package, and a bucket of the tests' Hub."""

import logging
from collections.abc import Iterator

import pytest

from tests.hub.buckets import Bucket, BucketHub

_BUCKET = "some-bucket"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A folder of this test's own, for this process and those that it starts."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "some-key",
        "AWS_SECRET_ACCESS_KEY": "a-very-secret-word",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).makedirs(_BUCKET, exist_ok=True)
    return f"s3://{_BUCKET}/{abs(hash(request.node.nodeid)):x}/unicorn.work"


@pytest.fixture
def bucket_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketHub]:
    with BucketHub(tmp_path_factory.mktemp("xet")).running() as hub:
        yield hub


@pytest.fixture
def hf(bucket_hub: BucketHub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, in an empty bucket of the Hub."""
    from huggingface_hub import constants

    from unicorn_hf.runtime.hub_buckets import BucketPath

    for name, value in {"HF_ENDPOINT": bucket_hub.url, "HF_TOKEN": bucket_hub.token, "HF_HUB_OFFLINE": "0"}.items():
        monkeypatch.setenv(name, value)
    # This process has read them.
    monkeypatch.setattr(constants, "ENDPOINT", bucket_hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(BucketPath, "settle_s", 0.0)
    bucket_hub.buckets["unicorn-lab/some-bucket"] = Bucket(private=True)
    return "hf://buckets/unicorn-lab/some-bucket/a/unicorn.work"


@pytest.fixture(params=["s3", "hf"])
def remote(request: pytest.FixtureRequest) -> str:
    """One of the two."""
    return str(request.getfixturevalue(request.param))
