"""What the documents tell people to type: Helm knows it, it waits where it must, and it says of which namespace it speaks."""

import re
import shlex
import tempfile
from pathlib import Path

from chart import HERE

ROOT = HERE.parents[1]
# Pages that say of themselves that the context's namespace is meant: there only Helm's commands name one.
PAGES = [ROOT / "README.md", ROOT / "deploy/chart/README.md", *sorted((ROOT / "docs/operations").glob("*.md"))]
NAMED = PAGES[:2]
# A chat in whose test someone waits for what is not there yet proves nothing.
WAITED_FOR = {"install": "--wait", "test": "--logs"}


def commands(text):
    """The commands of a page's blocks, with the program first."""
    for block in re.findall(r"^```(?:sh[^\n]*)?\n(.*?)^```|((?:^    .+\n)+)", text, re.M | re.S):
        for line in "".join(block).splitlines():
            if line.strip().startswith(("helm ", "kubectl ")):
                yield shlex.split(line.partition("  #")[0].partition(" | ")[0].partition(" <<")[0])


def faults(text, known_flags, names_namespace):
    """`known_flags` gives those of a verb of Helm."""
    for command in commands(text):
        said = " ".join(command)
        program, verb = command[:2]
        flags = {word.partition("=")[0] for word in command if word.startswith("--")}
        if (program == "helm" or names_namespace) and "--namespace" not in flags:
            yield f"{said}: of which namespace?"
        if program == "helm":
            yield from (f"{said}: Helm knows no {flag}" for flag in sorted(flags - known_flags(verb)))
            if verb in WAITED_FOR and WAITED_FOR[verb] not in flags:
                yield f"{said}: without {WAITED_FOR[verb]}"


def helm_flags(helm):
    return lambda verb: set(re.findall(r"--[a-z][a-z-]*", helm.call(verb, "--help").stdout))


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


def all_faults(helm):
    flags = helm_flags(helm)
    count = 0
    for page in PAGES:
        count += len(list(commands(page.read_text())))
        yield from (f"{page.relative_to(ROOT)}: {fault}" for fault in faults(page.read_text(), flags, page in NAMED))
    yield from example_faults(helm)
    for mistake in ("helm test chat --namespace chat", "helm install chat deploy/chart --wait", "helm upgrade chat . --namespace chat --forced"):
        if not list(faults(f"```\n{mistake}\n```\n", flags, True)):
            yield f"{mistake}: its mistake is not noticed"
    if not count:
        yield "no command is found in any page"
