#!/usr/bin/env python3
"""The chart's objects as Kubernetes 1.20 takes them. What it does not know it refuses.

What it changed it adds to the file DOWNGRADES, since Helm shows nothing of what a plug-in says. TOOLS names a folder of the nodes with
a program `sleep`: there, a pod's hook can only be a command, and our images have none."""

import os
import sys

import yaml

SAME = {
    "v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1",
}
OLDER = {
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "autoscaling/v2beta2",
    ("policy/v1", "PodDisruptionBudget"): "policy/v1beta1",
    ("batch/v1", "CronJob"): "batch/v1beta1",
}
# Fields of a kind's specification that came later.
LATER = {
    "PodDisruptionBudget": ["unhealthyPodEvictionPolicy"],
    "StatefulSet": ["minReadySeconds", "persistentVolumeClaimRetentionPolicy"],
}
# An autoscaler waits so long for a verification that nobody would wait for it.
PATIENCE_SECONDS = 15


def said(thing, what):
    with open(os.environ["DOWNGRADES"], "a") as file:
        print(f"for 1.20: {thing['kind']}: {what}", file=file)


def downgrade(thing):
    kind, version = thing["kind"], thing["apiVersion"]
    if (version, kind) in OLDER:
        thing["apiVersion"] = OLDER[version, kind]
        said(thing, f"{version} became {thing['apiVersion']}")
    elif version not in SAME:
        sys.exit(f"downgrade: {version} {kind} is not known: look whether 1.20 has it")
    for field in LATER.get(kind, []):
        if thing["spec"].pop(field, None) is not None:
            said(thing, f"{field} was dropped")
    if kind == "HorizontalPodAutoscaler":
        down = thing["spec"]["behavior"]["scaleDown"]
        said(thing, f"waits {PATIENCE_SECONDS} s instead of {down['stabilizationWindowSeconds']} s before it scales down")
        down["stabilizationWindowSeconds"] = PATIENCE_SECONDS
        down["policies"] = [{"type": "Pods", "value": 1, "periodSeconds": PATIENCE_SECONDS}]
    for pod in pods(thing):
        hooks(thing, pod)


def pods(thing):
    spec = thing.get("spec") or {}
    if thing["kind"] == "Pod":
        yield spec
    if "template" in spec:
        yield spec["template"]["spec"]
    if "jobTemplate" in spec:
        yield spec["jobTemplate"]["spec"]["template"]["spec"]


def hooks(thing, pod):
    """A hook that sleeps becomes a command that does."""
    for container in pod["containers"]:
        hook = container.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            seconds = hook.pop("sleep")["seconds"]
            hook["exec"] = {"command": ["/tools/sleep", str(seconds)]}
            container.setdefault("volumeMounts", []).append({"name": "tools", "mountPath": "/tools", "readOnly": True})
            pod.setdefault("volumes", []).append({"name": "tools", "hostPath": {"path": os.environ["TOOLS"]}})
            said(thing, "preStop.sleep became a command that sleeps")


for thing in yaml.safe_load_all(sys.stdin):
    if thing:
        downgrade(thing)
        sys.stdout.write("---\n")
        yaml.safe_dump(thing, sys.stdout, sort_keys=False)
