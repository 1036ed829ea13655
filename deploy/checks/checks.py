"""The rungs of the ladder that need no cluster. Each prints a line; the first that fails says why and ends the run."""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import yaml

import broker
import cluster
import documents
import mutations
import network  # its rules
import programs
import schemas
from chart import CHART, FOREIGN, HERE, Helm, defaults, values_files
from rules import RULES

VERSIONS = [f"1.{minor}.0" for minor in range(30, 38)]
HOME = Path(os.environ.get("BACKCHAT_CACHE", Path.home() / ".cache/backchat"))


# Helm looks what is there, in the cluster of the kubeconfig that comes next.
IN_A_CLUSTER = ["--dry-run=server", "--disable-openapi-validation", "--kubeconfig"]


class Failed(Exception):
    pass


def demand(faults):
    faults = [fault for fault in faults if fault]
    if faults:
        raise Failed("\n".join(faults))


def templates(helm):
    """Rung 0: Helm takes the chart with each values file, for each version, and refuses what is misspelt or contradicts itself."""
    count = 0
    for values in values_files():
        done = helm.call("lint", "--strict", str(CHART), "--values", str(values))
        demand([done.returncode != 0 and f"{values.name}: {done.stdout}{done.stderr}"])
        for version in VERSIONS:
            for apis in ([], [word for api in FOREIGN for word in ("--api-versions", api)]):
                done = helm.template(values, "--kube-version", version, *apis)
                demand([done.returncode != 0 and f"{values.name} for {version}: {done.stderr}"])
                count += 1
    too_old = helm.template(values_files()[0], "--kube-version", "1.29.0")
    demand([too_old.returncode == 0 and "Kubernetes 1.29 is not refused"])
    refused = values_files("refused")
    for values in refused:
        why = re.match(r"# refused: (.+)\n", values.read_text())[1]
        done = helm.template(values)
        is_refused = done.returncode != 0 and why in done.stderr
        demand([not is_refused and f"refused/{values.name}: not refused with “{why}”, but: {done.stderr}"])
    yield f"{count} renderings, {len(refused)} refusals"


def keys(helm):
    """Rung 0: every level of the values refuses keys that it does not know."""
    values = defaults()
    free = {"podAnnotations", "nodeSelector", "annotations", "labels"}

    def places(level, path=()):
        yield path
        for key, value in level.items():
            if isinstance(value, dict) and key not in free:
                yield from places(value, (*path, key))

    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in places(values):
            wrong = {"misspelt": 1}
            for key in reversed(path):
                wrong = {key: wrong}
            file = Path(folder, "wrong.yaml")
            file.write_text(yaml.safe_dump(wrong))
            done = helm.template(HERE / "values/smallest.yaml", "--values", str(file), "--show-only", "templates/gateway/account.yaml")
            demand([(done.returncode == 0 or "'misspelt' not allowed" not in done.stderr) and f"{'.'.join(path)}.misspelt is not refused"])
            count += 1
    yield f"misspelt keys are refused at all {count} levels"


def kinds(rendered):
    """Rung 1: every object against the schema of its kind."""
    count = 0
    for version in schemas.VERSIONS:
        for case in rendered:
            for thing in case.objects:
                demand(schemas.faults(thing, version))
                count += 1
    yield f"{count} objects at {' and '.join(schemas.VERSIONS)}"
    unnoticed = []
    for case in rendered:
        for thing in case.objects:
            if thing["apiVersion"] in FOREIGN or thing["kind"] == "Deployment":
                spec = dict(thing["spec"], misspelt=1)
                if not schemas.faults(dict(thing, spec=spec), "1.37"):
                    unnoticed.append(f"{thing['kind']} may have any field")
    demand(unnoticed)


def rules(rendered):
    """Rung 2: our own rules, and each of them finds the mistakes it is for."""
    for case in rendered:
        for rule in RULES:
            demand(f"{case.name}: {rule.__name__}: {fault}" for fault in rule(case))
    by_name = {case.name: case for case in rendered}
    demand(mutations.unnoticed(RULES, by_name["smallest"], mutations.MISTAKES))
    demand(mutations.unnoticed(RULES, by_name["production"], mutations.MISTAKES_AT_THE_EDGE))
    demand(mutations.unnoticed(RULES, by_name["servers-of-yours"], mutations.MISTAKES_AT_AN_INGRESS))
    every = (mutations.MISTAKES, mutations.MISTAKES_AT_THE_EDGE, mutations.MISTAKES_AT_AN_INGRESS)
    unproved = {rule.__name__ for rule in RULES}.difference(*every)
    demand(f"no mistake breaks {name}" for name in sorted(unproved))
    count = sum(len(changes) for found in every for changes in found.values())
    yield f"{len(RULES)} rules over {len(rendered)} renderings, {count} mistakes noticed"


def upgrades(helm):
    """Rung 2: a newer chart keeps what can't change, another setting rolls its pods, and names stay short."""
    values = HERE / "values/smallest.yaml"
    before = helm.render(values)
    with tempfile.TemporaryDirectory() as folder:
        newer = Path(folder, "chart")
        shutil.copytree(CHART, newer)
        text = (newer / "Chart.yaml").read_text()
        (newer / "Chart.yaml").write_text(re.sub(r'^(version|appVersion): .*$', r'\1: "9.9.9"', text, flags=re.MULTILINE))
        after = helm.render(values, chart=newer)

    def fixed(case):
        return {
            (owner["kind"], owner["metadata"]["name"]): [owner["spec"].get(key) for key in ("selector", "serviceName", "volumeClaimTemplates")]
            for owner in case.of("Deployment", "StatefulSet")
        }

    demand([fixed(before) != fixed(after) and "an upgrade changes what can't be changed"])

    def sums(case):
        return {component: meta.get("annotations", {}).get("checksum/config") for _, component, meta, _ in case.pods()}

    changed = {
        "gateway": "gateway.settings.ping_interval_ms=10000",
        "history-worker": "historyWorker.settings.verify_every_h=24",
        "search-worker": "searchWorker.settings.cache_mb=64",
        "auth-service": "authService.settings.hashing_workers=4",
        "nats": "nats.syncInterval=10s",
    }
    old = sums(before)
    for component, setting in changed.items():
        new = sums(helm.render(values, "--set", setting))
        rolled = {name for name in old if old[name] != new[name]}
        demand([rolled != {component} and f"{setting} rolls {sorted(rolled)}"])
    demand([sums(helm.render(values, "--set", "shards=16")) != old and "more shards roll pods before they are there"])

    def setup(case):
        return next(job["metadata"]["name"] for job in case.of("Job"))

    for change in ("jobs.resources.limits.memory=1Gi", "jobs.nodeSelector.pool=chat", "nats.tls.existingSecret=mine", "shards=16"):
        demand([setup(before) == setup(helm.render(values, "--set", change)) and f"{change} would change a job, which can't be changed"])
    demand([setup(before) != setup(helm.render(values)) and "the set-up job is another one each time"])
    long = helm.render(values, release="r" + 52 * "x")
    demand(fault for rule in RULES if rule.__name__ == "names_are_short_enough" for fault in rule(long))
    notes = helm.call("install", "demo", str(CHART), "--dry-run=client", "--values", str(values)).stdout.partition("NOTES:")[2]
    demand([f"NOTES.txt does not say {word}" for word in ("/auth/register/", "root-key", "base64 --decode") if word not in notes])
    demand(["NOTES.txt warns of what is not there" if "WARNING" in notes else None])
    blind = helm.call("install", "demo", str(CHART), "--dry-run=client", "--values", str(values), "--set", "monitoring.alerts.enabled=true")
    demand(["WARNING: monitoring.alerts" not in blind.stdout and "NOTES.txt does not warn of alerts that nobody feeds"])
    yield "selectors and claims stay, a setting rolls its own pods, names fit, NOTES.txt says what is first"


def secrets(helm):
    """Rung 2: what was made at the first install stays for ever, by way of a stand-in for the cluster."""
    values = HERE / "values/smallest.yaml"

    def made(there):
        with cluster.with_objects(there) as kubeconfig:
            case = helm.render(values, *IN_A_CLUSTER, kubeconfig)
        return {secret["metadata"]["name"]: cluster.stored(secret) for secret in case.of("Secret")}

    first, other = made([]), made([])
    demand(f"{name} is the same in every installation" for name in first if first[name]["data"] == other[name]["data"])
    again = made(first.values())
    demand(f"{name} is made anew by an upgrade" for name in first if first[name]["data"] != again[name]["data"])
    users = first["demo-backchat-nats-users"]["data"]
    lost = users.pop("setup")
    mended = made(first.values())["demo-backchat-nats-users"]["data"]
    is_added = mended.pop("setup", lost) != lost and mended == users
    demand([not is_added and "a missing password is not added alone"])
    yield f"{len(first)} secrets stay through an upgrade"


def running(helm):
    """Rung 2: what a running release can't take is refused, with a way out."""
    values = HERE / "values/smallest.yaml"
    one, claims = ["--set", "nats.replicas=1"], ["--set", "searchWorker.persistence.enabled=true"]
    sets, with_claims = ([cluster.stored(thing) for thing in helm.render(values, *words).of("StatefulSet")] for words in ([], claims))
    stopped = [{**thing, "spec": {**thing["spec"], "replicas": 0}} for thing in sets]
    cases = [
        (sets, [], None),
        (sets, one, "nats.replicas is 1, but there are 3 servers"),
        (sets, ["--set", "nats.replicas=5"], "nats.replicas is 5, but there are 3 servers"),
        (sets, [*one, "--set", "nats.changeReplicas=true"], None),
        (stopped, one, None),
        ([], one, None),
        (sets, claims, "kubectl delete statefulset demo-backchat-search-worker"),
        (with_claims, [], "kubectl delete statefulset demo-backchat-search-worker"),
        (with_claims, claims, None),
    ]
    for there, words, why in cases:
        with cluster.with_objects(there) as kubeconfig:
            done = helm.template(values, *words, *IN_A_CLUSTER, kubeconfig)
        is_right = (done.returncode == 0) if why is None else (done.returncode != 0 and why in done.stderr)
        demand([not is_right and f"{words} over a running release: not {why or 'taken'}, but: {done.stderr}"])
    yield f"{sum(why is not None for *_, why in cases)} changes of a running release are refused, {sum(why is None for *_, why in cases)} taken"


def monitoring(helm):
    """Rung 2: whatever lies in the chart's alerts and dashboards is in the release, none of it being fine too."""
    values = HERE / "values/production.yaml"

    def counts(chart):
        case = helm.render(values, chart=chart)
        boards = [found for found in case.of("ConfigMap") if "grafana_dashboard" in found["metadata"]["labels"]]
        return len(case.of("PrometheusRule")), len(boards), case

    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder, "chart")
        shutil.copytree(CHART, copied)
        for what in ("alerts", "dashboards"):
            shutil.rmtree(copied / what, ignore_errors=True)
            (copied / what).mkdir()
        demand([counts(copied)[:2] != (0, 0) and "empty folders give objects"])
        (copied / "alerts/one.yaml").write_text(
            "groups:\n  - name: one\n    rules:\n      - alert: One\n        expr: up == 0\n        annotations: { summary: 'it is {{ $labels.pod }}' }\n"
        )
        (copied / "dashboards/one.json").write_text('{"title": "{{pod}}"}')
        alerts, boards, case = counts(copied)
        demand([(alerts, boards) != (1, 1) and f"one file each gives {alerts} and {boards} objects"])
        demand(fault for thing in case.objects for fault in schemas.faults(thing, "1.37"))
        demand(["{{ $labels.pod }}" not in str(case.of("PrometheusRule")) and "an alert's own template is lost"])
    files = {what: len(list((CHART / what).glob(f"*.{end}"))) for what, end in (("alerts", "yaml"), ("dashboards", "json"))}
    found = counts(CHART)
    demand([found[:2] != tuple(files.values()) and f"{files} give {found[:2]} objects"])
    off = ("--set", "nats.exporter.enabled=false")
    left = [rule["metadata"]["name"] for rule in helm.render(values, *off).of("PrometheusRule")]
    demand([any(name.endswith("-nats") for name in left) and "rules of NATS are there, where nothing gives their figures", len(left) != files["alerts"] - 1 and f"only {left} are left"])
    notes = [helm.call("install", "demo", str(CHART), "--dry-run=client", "--values", str(values), *words).stdout.partition("NOTES:")[2] for words in ((), off)]
    demand([["nats.exporter" in note for note in notes] != [False, True] and "NOTES.txt does not say that nobody watches the broker, or says it in vain"])
    yield f"{files['alerts']} files of alerts, {files['dashboards']} dashboards"


def servers(rendered, nats_server):
    """Rung 2: NATS takes its configuration."""
    count = 0
    for case in rendered:
        if case.values["nats"]["enabled"]:
            answer = broker.test(case, nats_server)
            if answer:
                demand([not answer[0] and f"{case.name}: {answer[1]}"])
                count += 1
    yield f"NATS takes {count} configurations"


def built(rendered, nats_server, folder):
    """Rung 2: what the programs themselves say, where they are built."""
    names = [name for name in programs.PROGRAMS if (folder / name).exists()]
    missing = sorted(set(programs.PROGRAMS) - set(names))
    if missing:
        yield f"NOT CHECKED against their own settings, since they are not built in {folder}: {', '.join(missing)}"
    known = {name: programs.settings(folder / name) for name in names}
    demand(fault for case in rendered for fault in programs.faults(case, known))
    demand(programs.schema_faults(known))
    if known:
        yield f"settings of {len(known)} programs"
    if "backchat" in known:
        conf = broker.conf_of_the_program(folder / "backchat", nats_server)
        demand([conf is None and "the built backchat wrote no configuration for NATS"])
        # The users' names are each edition's own; the inbox says whose they are.
        whose = {next(s for s in may["subscribe"] if s.startswith("_INBOX_")): may for may in broker.permissions(conf).values() if may}
        ours = broker.permissions(broker.configuration(next(case for case in rendered if case.values["nats"]["enabled"])))
        demand(
            whose.get(f"_INBOX_{user}.>") != may and f"{user} may do something else at the broker than in the built backchat"
            for user, may in ours.items() if may
        )
        yield f"permissions of {len(whose)} users as the built backchat has them"


def pages(helm, kubectl):
    """Rung 0: what the documents tell people to type is what Helm, kubectl and the chart take."""
    demand(documents.all_faults(helm, kubectl))
    yield f"the commands of {len(documents.PAGES)} pages"


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--helm", required=True)
    words.add_argument("--kubectl", required=True)
    words.add_argument("--nats-server", required=True)
    words.add_argument("--programs", type=Path, default=HOME / "target/debug", help="the folder of the built programs")
    given = words.parse_args()
    helm = Helm(given.helm)
    rendered = []

    def renderings():
        rendered.extend(helm.render(values) for values in values_files())
        yield f"{sum(len(case.objects) for case in rendered)} objects of {len(rendered)} values files"

    rungs = [
        ("0 templates", lambda: templates(helm)),
        ("0 values", lambda: keys(helm)),
        ("0 documents", lambda: pages(helm, given.kubectl)),
        ("0 objects", renderings),
        ("1 schemas", lambda: kinds(rendered)),
        ("2 rules", lambda: rules(rendered)),
        ("2 upgrades", lambda: upgrades(helm)),
        ("2 secrets", lambda: secrets(helm)),
        ("2 running", lambda: running(helm)),
        ("2 monitoring", lambda: monitoring(helm)),
        ("2 broker", lambda: servers(rendered, given.nats_server)),
        ("2 programs", lambda: built(rendered, given.nats_server, given.programs)),
    ]
    for name, rung in rungs:
        begun = time.monotonic()
        try:
            said = list(rung())
        except (Failed, AssertionError) as error:
            print(f"{name}: FAILED\n{error}", flush=True)
            sys.exit(1)
        print(f"{name}: {'; '.join(said)} ({time.monotonic() - begun:.1f} s)", flush=True)
    print("NOT CHECKED here: a real API server (make verify-kubernetes), the pages for those on call (make drill)")


if __name__ == "__main__":
    main()
