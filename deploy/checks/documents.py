"""What the documents tell people to type: Helm and kubectl know it, it waits where it must, it says of which namespace it speaks, and the
chart makes what it names."""

import re
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from chart import HERE, named, values_files

ROOT = HERE.parents[1]
# Pages that say of themselves that the context's namespace is meant: there only Helm's commands name one.
PAGES = [ROOT / "README.md", ROOT / "deploy/chart/README.md", *sorted((ROOT / "docs/operations").glob("*.md"))]
NAMED = PAGES[:2]
# A chat in whose test someone waits for what is not there yet proves nothing.
WAITED_FOR = {"install": "--wait", "test": "--logs"}
# Verbs of kubectl that are nothing without the next word.
TWOFOLD = {"create", "rollout", "config", "top"}
MISTAKES = [
    "helm test chat --namespace chat",
    "helm install chat deploy/chart --wait",
    "helm upgrade chat . --namespace chat --forced",
    "kubectl --namespace chat rollout status deployment/chat-backchat-gateways",
    "kubectl --namespace chat rollout restart --wait deployment/chat-backchat-gateway",
    "kubectl --namespace chat scale statefulset/chat-backchat-gateway --replicas=2",
    "kubectl --namespace chat delete pod chat-backchat-nats-3",
    "kubectl --namespace chat create job --from=cronjob/chat-backchat-erase erase-1",
    "kubectl get pods",
]


def commands(text):
    """The commands of a page's blocks, with the program first."""
    for block in re.findall(r"^```(?:sh[^\n]*)?\n(.*?)^```|((?:^    .+\n)+)", text, re.M | re.S):
        for line in "".join(block).splitlines():
            for part in re.split(r" \| |; | && |\(\) \{ | <<", line.partition("  #")[0]):
                if part.strip().startswith(("helm ", "kubectl ")) and "`" not in part:
                    yield shlex.split(part)


def verb(command):
    """The words that say what is done: some have two."""
    words = [word for before, word in zip(command, command[1:]) if not word.startswith("-") and before not in ("-n", "--namespace")]
    return tuple(words[: 2 if command[0] == "kubectl" and words[0] in TWOFOLD else 1])


def faults(text, known_flags, objects, names_namespace):
    """`known_flags` gives those of a program's verb, `objects` are those of the release `chat`."""
    for command in commands(text):
        said = " ".join(command)
        flags = {word.partition("=")[0] for word in command if word.startswith("--") and word != "--"}
        if (command[0] == "helm" or names_namespace) and "--namespace" not in flags:
            yield f"{said}: of which namespace?"
        before = command[: command.index("--")] if "--" in command else command
        verbs = verb(before)
        yield from (f"{said}: {command[0]} knows no {flag}" for flag in sorted(flags - known_flags(command[0], *verbs)))
        if command[0] == "helm" and verbs[0] in WAITED_FOR and WAITED_FOR[verbs[0]] not in flags:
            yield f"{said}: without {WAITED_FOR[verbs[0]]}"
        if command[0] == "kubectl":
            yield from (f"{said}: the chart makes no {found}" for found in sorted(told(before) - objects))


def told(words):
    """The objects of the chart that a command names, as kind and name."""
    pairs = [word.rpartition("=")[2].split("/") for word in words if re.search(r"[a-z]/chat-backchat", word)]
    pairs += [pair for pair in zip(words, words[1:]) if re.match(r"(data-)?chat-backchat-[a-z0-9-]+$", pair[1])]
    return {f"{kind.lower()}/{name}" for kind, name in pairs}


def made(helm):
    """The objects of the release `chat`, with what Kubernetes makes of them."""
    for values in values_files():
        for owner in helm.render(values, release="chat").objects:
            yield named(owner).lower()
            name, spec = owner["metadata"]["name"], owner.get("spec") or {}
            if owner["kind"] == "StatefulSet":
                for number in range(spec.get("replicas", 1)):
                    yield f"pod/{name}-{number}"
                    yield from (f"persistentvolumeclaim/{claim['metadata']['name']}-{name}-{number}" for claim in spec.get("volumeClaimTemplates", []))


def flags_of(helm, kubectl):
    @cache
    def known(program, *verbs):
        if program == "helm":
            said = helm.call(*verbs, "--help").stdout
        else:
            said = "".join(subprocess.run([kubectl, *words], capture_output=True, text=True, check=False).stdout for words in ([*verbs, "--help"], ["options"]))
        return set(re.findall(r"--[a-z][a-z-]*", said))

    return known


def example_faults(helm):
    """The values that the chart's page begins with are taken as they are."""
    text = re.search(r"^```yaml\n# my-values.yaml\n(.*?)^```", NAMED[1].read_text(), re.M | re.S)
    if not text:
        yield "deploy/chart/README.md has no my-values.yaml"
        return
    with tempfile.TemporaryDirectory() as folder:
        values = Path(folder, "my-values.yaml")
        values.write_text(text[1])
        done = helm.template(values)
        if done.returncode != 0:
            yield f"deploy/chart/README.md: {done.stderr}"


def all_faults(helm, kubectl):
    flags, objects = flags_of(helm, kubectl), set(made(helm))
    count = 0
    for page in PAGES:
        count += len(list(commands(page.read_text())))
        yield from (f"{page.relative_to(ROOT)}: {fault}" for fault in faults(page.read_text(), flags, objects, page in NAMED))
    yield from example_faults(helm)
    for mistake in MISTAKES:
        if not list(faults(f"```\n{mistake}\n```\n", flags, objects, True)):
            yield f"{mistake}: its mistake is not noticed"
    if not count:
        yield "no command is found in any page"
