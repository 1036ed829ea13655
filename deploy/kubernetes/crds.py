"""Prints the kinds of others that the chart writes, as the API server is told of them: from the schemas that the checks use."""

import json
from pathlib import Path

SCHEMAS = Path(__file__).resolve().parents[1] / "checks/schemas"
PLURALS = {"HTTPRoute": "httproutes", "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules", "ScaledObject": "scaledobjects"}


def structural(schema):
    """What the API server takes for a schema: unknown fields are refused by itself, and constants are lists of one."""
    if schema.get("type") == ["string", "integer"]:
        return {"x-kubernetes-int-or-string": True}
    made = {key: value for key, value in schema.items() if key not in ("$schema", "const", "oneOf")}
    if made.get("additionalProperties") is False:
        del made["additionalProperties"]
    if "const" in schema:
        made |= {"type": "string", "enum": [schema["const"]]}
    if "enum" in made:
        made["type"] = "string"
    for key in ("items", "additionalProperties"):
        if key in made:
            made[key] = structural(made[key])
    if "properties" in made:
        made["properties"] = {name: structural(value) for name, value in made["properties"].items()}
    return made


def definition(schema):
    fields = schema["properties"]
    group, version = fields["apiVersion"]["const"].split("/")
    kind = fields["kind"]["const"]
    own = {"spec": structural(fields["spec"])}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        # Only Kubernetes itself may define kinds of its own groups, unless somebody answers for it.
        "metadata": {"name": f"{PLURALS[kind]}.{group}", "annotations": {"api-approved.kubernetes.io": "unapproved, verification only"}},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": PLURALS[kind], "singular": kind.lower()},
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": own}}}],
        },
    }


for path in sorted(SCHEMAS.glob("*.json")):
    print(json.dumps(definition(json.loads(path.read_text()))))
    print("---")
