"""Every object against the schema of its kind: those of Kubernetes by version, and small ones of ours for what others define."""

import json

import jsonschema
import kubernetes_validate

from chart import FOREIGN, HERE, named

VERSIONS = ["1.30", "1.37"]


def foreign(kind):
    return json.loads((HERE / "schemas" / f"{kind.lower()}.json").read_text())


def faults(thing, version):
    """What is wrong with one object. A kind that nobody knows is a fault."""
    if thing["apiVersion"] in FOREIGN:
        validator = jsonschema.Draft202012Validator(foreign(thing["kind"]))
        return [f"{named(thing)}: {error.json_path}: {error.message}" for error in validator.iter_errors(thing)]
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{named(thing)}: {version}: {'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{named(thing)}: {version} has no {thing['apiVersion']}"]
    return []
