"""docs/asyncapi.yaml is AsyncAPI 3 as @asyncapi/parser reads it, and says of topics and messages what the schemas and the tests say."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from contract import SCHEMAS, TOPICS, fault, message_fault, validator
from jsonschema import Draft202012Validator

from simulators.bank.messages import outgoing
from terminal.adapters.clock import utc_now

pytestmark = [pytest.mark.wire, pytest.mark.peer]
ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "asyncapi.yaml"
FOLDER = ROOT / ".cache" / "asyncapi"
PARSER = "@asyncapi/parser@3.6.3"
BASE = "bank/v1/{branch}/{terminal}/"


@pytest.fixture(scope="module")
def modules() -> Path:
    """The parser, installed once; no lock file is left."""
    modules = FOLDER / "node_modules"
    if not (modules / "@asyncapi" / "parser").is_dir():
        npm = shutil.which("npm")
        assert npm is not None, "npm is needed (./run test installs it)"
        FOLDER.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", PARSER]
        subprocess.run(install, cwd=FOLDER, check=True, capture_output=True)
    return modules


def parsed(modules: Path, document: Path) -> dict[str, Any]:
    node = shutil.which("node")
    assert node is not None, "node is needed (./run test installs it)"
    script = ROOT / "tests" / "support" / "asyncapi_check.mjs"
    ran = subprocess.run([node, str(script), str(modules), str(document)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_the_document_is_valid_and_complete(modules: Path) -> None:
    found = parsed(modules, DOCUMENT)
    assert found["version"] == PARSER.rpartition("@")[2]
    assert found["valid"] and found["errors"] == []
    assert {address.removeprefix(BASE): set(types) for address, types in found["channels"].items()} == TOPICS
    names = {path.stem for path in SCHEMAS.iterdir()}
    assert names == set().union(*TOPICS.values()), "a schema for every message, and none more"
    assert all(fields >= {"specversion", "type", "data", "dataschema"} for fields in map(set, found["fields"].values()))
    assert set(found["fields"]) == names, "the parser has followed every reference"


def test_the_parser_would_say_no(modules: Path, tmp_path: Path) -> None:
    shutil.copytree(DOCUMENT.parent / "schemas", tmp_path / "schemas")
    text = DOCUMENT.read_text(encoding="utf-8")
    for wrong in (text.replace("action: send", "action: shout"), text.replace("schemas/ATMDeviceControl.json", "schemas/Nothing.json")):
        (tmp_path / "asyncapi.yaml").write_text(wrong, encoding="utf-8")
        found = parsed(modules, tmp_path / "asyncapi.yaml")
        assert not found["valid"] and found["errors"]


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object schema within."""
    if isinstance(schema, list):
        return [one for item in schema for one in objects(item)]
    if not isinstance(schema, dict):
        return []
    within = [one for item in schema.values() for one in objects(item)]
    return [schema, *within] if schema.get("type") == "object" and "properties" in schema else within


@pytest.mark.parametrize("type_", sorted(set().union(*TOPICS.values())))
def test_a_schema_is_closed_versioned_and_of_its_own_draft(type_: str) -> None:
    schema = validator(type_).schema
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema") and schema["$id"] == f"smart-branch:{type_}:1"
    assert all(one.get("additionalProperties") is False for one in objects(schema)), "an unknown field would pass"


def test_the_check_is_not_blind() -> None:
    ack = outgoing("ATMCompletionAcknowledgement", "bank/v1/B001/T0001", "k", {"class": "txn", "epoch": 1, "upto": 1}, utc_now())
    topic = "bank/v1/B001/T0001/ack"
    assert fault(topic, json.dumps(ack)) == ""
    assert "no such topic" in fault("bank/v1/B001/T0001/acks", json.dumps(ack))
    assert "no ATMCompletionAcknowledgement there" in fault("bank/v1/B001/T0001/cmd", json.dumps(ack))
    assert message_fault({**ack, "data": {**ack["data"], "colour": 1}}) and message_fault({**ack, "colour": 1})
    assert message_fault({**ack, "dataschema": "smart-branch:ATMCompletionAcknowledgement:2"})
    assert fault(topic, b"{") and message_fault({"type": "Rumour"})
