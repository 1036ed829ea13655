"""What the built programs say of their settings: each variable of a pod is one of its program, and the chart's schema lists all
that the chart does not decide itself."""

import json
import re
import subprocess

from chart import CHART, named
from rules import configured

SETTINGS = {"gateway": "gateway", "historyWorker": "history-worker", "searchWorker": "search-worker", "authService": "auth-service"}
PROGRAMS = [*SETTINGS.values(), "backchat-setup", "backchat"]
# These are the chart's to decide.
DECIDED = {
    "listen", "operations", "nats_url", "nats_user", "nats_password", "nats_ca", "roots", "roots_command", "public_origins", "auth_upstream",
    "trusted_proxies", "database", "index", "traces", "traces_ca", "traces_ratio",
}


def settings(program):
    """A built program's settings: name → what is said of it."""
    text = subprocess.run([program, "config", "example"], capture_output=True, text=True, check=True, timeout=60).stdout
    found = {}
    for block in text.strip().split("\n\n"):
        *meaning, variable, line = (part.removeprefix("# ") for part in block.split("\n"))
        found[line.partition(" = ")[0]] = (variable, " ".join(meaning))
    return found


def faults(rendered, known):
    for owner, _, _, spec in rendered.pods():
        for container in spec["containers"]:
            program = container["name"]
            if program not in known:
                continue
            names = {variable["name"] for variable in container.get("env", [])} | configured(rendered, spec).keys()
            variables = {variable for variable, _ in known[program].values()} | {"BACKCHAT_LOG"}
            for name in sorted(name for name in names if name.startswith("BACKCHAT_")):
                if name not in variables:
                    yield f"{named(owner)}: {program} has no setting {name}"


def schema_faults(known):
    """The schema's settings, with their bounds, are the programs'."""
    definitions = json.loads((CHART / "values.schema.json").read_text())["$defs"]
    for key, program in SETTINGS.items():
        if program not in known:
            continue
        listed = dict(definitions[f"{key}Settings"]["properties"])
        for name, (_, meaning) in known[program].items():
            if name in DECIDED:
                continue
            bounds = re.search(r"from (\d+) to (\d+)\.$", meaning)
            entry = listed.pop(name, None)
            if entry is None:
                yield f"values.schema.json has no {key}.settings.{name}"
            elif bounds and (entry["minimum"], entry["maximum"]) != (int(bounds[1]), int(bounds[2])):
                yield f"values.schema.json: {key}.settings.{name} is not {bounds[0]}"
        yield from (f"values.schema.json: {program} has no {name}" for name in listed)
