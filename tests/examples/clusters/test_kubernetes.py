"""The file for Kubernetes agrees with the schemas of Kubernetes and of the Dask operator, with no unknown field."""

import json
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import commands, parse
from tests.examples.clusters.conftest import EXAMPLES, run

pytestmark = pytest.mark.slow

FILE = EXAMPLES / "kubernetes.yaml"
CHECK = """
import json, sys
from importlib.resources import files

import jsonschema, kubernetes_validate, yaml

def closed(schema):
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    return schema

chart = files("dask_kubernetes") / "operator/deployment/helm/dask-kubernetes-operator"
resource = yaml.load((chart / "crds/daskcluster.yaml").read_text(), yaml.CSafeLoader)
[version] = resource["spec"]["versions"]
schema = closed(version["schema"]["openAPIV3Schema"])
for cluster, job in json.load(sys.stdin):
    assert cluster["apiVersion"] == f'{resource["spec"]["group"]}/{version["name"]}'
    assert cluster["kind"] == resource["spec"]["names"]["kind"]
    try:
        jsonschema.validate({"spec": cluster["spec"]}, schema)
        kubernetes_validate.validate(job, "1.37", strict=True)
        print("right")
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        print("wrong:", error.message)
"""


def check(environment: Path, *texts: str) -> list[str]:
    documents = [list(yaml.safe_load_all(text)) for text in texts]
    return [
        line.partition(":")[0]
        for line in run([environment / "python", "-c", CHECK], input=json.dumps(documents)).splitlines()
    ]


def test_it_agrees_with_the_schemas_and_an_error_would_be_found(environment: Path) -> None:
    text = FILE.read_text()
    errors = [("volumeMounts", "volumMounts"), ("replicas: 8", "replicas: many"), ("backoffLimit", "limit")]
    texts = [text.replace(right, wrong) for right, wrong in errors]
    assert check(environment, text, *texts) == ["right", "wrong", "wrong", "wrong"]


def test_the_command_of_the_job_is_taken() -> None:
    _, job = yaml.safe_load_all(FILE.read_text())
    [container] = job["spec"]["template"]["spec"]["containers"]
    [arguments] = commands(" ".join(container["args"]))
    assert parse(arguments) == "build"
