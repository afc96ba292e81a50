"""Runs inside the virtual environment of the standards' own tools; prints what they hold of the files in a folder.

One process for all files: the tools take seconds to start. `datacontract lint` looks away from `unevaluatedProperties`
(unknown keys), so the bundled JSON Schema judges each file once more, whole.
"""

import importlib.resources
import json
import os
import sys
from pathlib import Path

import yaml
from datacontract.data_contract import DataContract
from dataproduct.data_product import DataProduct
from jsonschema import validators


def strict(package, name, document):
    schema = json.loads(importlib.resources.files(package).joinpath("schemas", name).read_text(encoding="utf-8"))
    found = validators.validator_for(schema)(schema).iter_errors(document)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]


def linted(run):
    return [f"{check.result}: {check.reason}" for check in run.checks if str(check.result.value) != "passed"] + (
        [] if run.checks else ["nothing was checked"]
    )


def main(folder):
    os.chdir(folder)
    verdicts = {}
    for path in sorted(Path().rglob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name.endswith(".odcs.yaml"):
            version = document["apiVersion"].removeprefix("v")
            errors = strict("datacontract", f"odcs-{version}.schema.json", document)
            errors += linted(DataContract(data_contract_file=str(path)).lint())
        elif path.name.endswith(".odps.yaml"):
            errors = strict("dataproduct", "odps-1.1.0.schema.json", document)
            lint = DataProduct(
                data_product_file=str(path), resolve_references=True, local_references=True,
                datacontract_cli=str(Path(sys.executable).with_name("datacontract")),
            ).lint()  # fmt: skip
            errors += linted(lint)
        else:
            continue
        verdicts[str(path)] = errors
    print(json.dumps(verdicts))


main(sys.argv[1])
