"""The chart as Helm renders it."""

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
CHART = HERE.parent / "chart"
RELEASE = "demo"

# Kinds of others that the chart writes, as `--api-versions` takes them.
FOREIGN = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"]


@dataclass
class Rendered:
    """All objects of one values file."""

    name: str
    objects: list
    values: dict
    release: str = RELEASE

    def of(self, *kinds):
        return [found for found in self.objects if found["kind"] in kinds]

    def pods(self):
        """Each pod or template of one: (its owner, the component, the metadata, the spec)."""
        for owner in self.objects:
            for template in pod_templates(owner):
                labels = template["metadata"].get("labels", {})
                yield owner, labels.get("app.kubernetes.io/component"), template["metadata"], template["spec"]

    @cached_property
    def of_yours(self):
        """Secrets that the values name and the chart does not make."""
        nats, surrealdb = self.values["nats"], self.values["surrealdb"]
        places = [nats, nats["tls"], surrealdb, surrealdb["tls"], self.values["rootKey"], self.values["jobs"]["backup"], self.values["jobs"]["test"]]
        return {place["existingSecret"] for place in places} | {surrealdb["urlsSecret"], self.values["traces"]["caSecret"]}


def pod_templates(owner):
    if owner["kind"] == "Pod":
        yield owner
    spec = owner.get("spec") or {}
    if isinstance(spec.get("template"), dict):
        yield spec["template"]
    if "jobTemplate" in spec:
        yield spec["jobTemplate"]["spec"]["template"]


def named(thing):
    return f"{thing['kind']}/{thing['metadata']['name']}"


@dataclass
class Helm:
    """Helm without a cluster, and without anything of this machine's own Helm."""

    program: str
    home: tempfile.TemporaryDirectory = field(default_factory=tempfile.TemporaryDirectory)

    def call(self, *words):
        places = {f"HELM_{what}_HOME": self.home.name for what in ("CACHE", "CONFIG", "DATA")}
        environment = {"PATH": os.environ["PATH"], "HOME": self.home.name, **places}
        return subprocess.run([self.program, *words], env=environment, capture_output=True, text=True, check=False)

    def template(self, values, *words, chart=CHART, release=RELEASE):
        return self.call("template", release, str(chart), "--namespace", "chat", "--values", str(values), *words)

    def render(self, values, *words, chart=CHART, release=RELEASE):
        done = self.template(values, *words, chart=chart, release=release)
        if done.returncode != 0:
            raise AssertionError(f"{values}: {done.stderr.strip()}")
        objects = [found for found in yaml.safe_load_all(done.stdout) if found]
        return Rendered(Path(values).stem, objects, merged(defaults(chart), yaml.safe_load(Path(values).read_text())), release)


def defaults(chart=CHART):
    return yaml.safe_load((chart / "values.yaml").read_text())


def merged(below, above):
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def values_files(folder="values"):
    return sorted((HERE / folder).glob("*.yaml"))
