"""What is said of an image in files beside it: what is in it (CycloneDX), and how it was made (in-toto, SLSA)."""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

# What `cargo tree` prints of a package: name, version, and where it is from when that is not crates.io.
LINE = re.compile(r"(\d+)\|(\S+) v(\S+)(?: \((?:proc-macro|.+)\))?\|(.*)")


def bill_of_materials(root, program, package, version, target, digest):
    """A CycloneDX document with every library in the program, C's and the page's too."""
    sums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock(root)["package"]}
    crates, edges = tree(root, package, target)
    components = [crate(name, number, licence, sums.get((name, number))) for (name, number), licence in sorted(crates.items())]
    components += [debian("libc6-dev", "library"), debian("ca-certificates", "data"), standard_library()]
    if any(name == "templates" for name, _ in crates):
        components.append(htmx(root))
    image = f"pkg:oci/{program}@{digest.replace(':', '%3A')}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": image, "name": program, "version": version, "purl": image}},
        "components": components,
        "dependencies": [
            {"ref": image, "dependsOn": [reference(key) for key in crates if key[0] == package]},
            *({"ref": reference(key), "dependsOn": sorted(map(reference, needed))} for key, needed in sorted(edges.items())),
        ],
    }


def tree(root, package, target):
    """The crates that are linked into a package's programs, with their licences, and which of them needs which."""
    printed = subprocess.run(
        ["cargo", "tree", "--locked", "--package", package, "--edges", "normal,no-proc-macro", "--target", target,
         "--prefix", "depth", "--format", "|{p}|{l}"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout
    crates, edges, above = {}, {}, []
    for line in printed.splitlines():
        depth, name, number, licence = LINE.fullmatch(line.removesuffix(" (*)")).groups()
        key = (name, number)
        crates[key] = licence
        edges.setdefault(key, set())
        del above[int(depth):]
        if above:
            edges[above[-1]].add(key)
        above.append(key)
    return crates, edges


def crate(name, number, licence, checksum):
    made = {"type": "library", "bom-ref": reference((name, number)), "name": name, "version": number, "purl": reference((name, number))}
    if licence:
        made["licenses"] = [{"expression": licence.replace("/", " OR ")}]
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


def reference(key):
    name, number = key
    return f"pkg:cargo/{name}@{number}"


def debian(package, kind):
    """A package of the machine that something of is in the image."""
    asked = subprocess.run(["dpkg-query", "--show", "--showformat=${Version}", package], capture_output=True, text=True)
    number = asked.stdout if asked.returncode == 0 else "unknown"
    purl = f"pkg:deb/debian/{package}@{number}"
    return {"type": kind, "bom-ref": purl, "name": package, "version": number, "purl": purl}


def standard_library():
    number = rustc().split()[1]
    purl = f"pkg:generic/rust-std@{number}"
    return {"type": "library", "bom-ref": purl, "name": "rust-std", "version": number, "purl": purl}


def htmx(root):
    number = re.search(r"htmx (\d+\.\d+\.\d+)", (root / "templates/README.md").read_text())[1]
    content = (root / "templates/static/htmx.min.js").read_bytes()
    purl = f"pkg:npm/htmx.org@{number}"
    hashes = [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
    return {"type": "library", "bom-ref": purl, "name": "htmx.org", "version": number, "purl": purl, "hashes": hashes}


def provenance(root, program, digest, made):
    """An in-toto statement with the provenance of an image, as SLSA words it. Nobody has signed it: it is worth what its place is."""
    algorithm, _, value = digest.partition(":")
    # A commit is a digest of what it names; files that differ from it have none.
    source = {"uri": "git+https://backchat", "digest": {"gitCommit": made["revision"]}}
    if not re.fullmatch(r"[0-9a-f]{40}", made["revision"]):
        source = {"uri": "git+https://backchat", "annotations": {"revision": made["revision"]}}
    locked = hashlib.sha256((root / "Cargo.lock").read_bytes()).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": program, "digest": {algorithm: value}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://backchat/deploy/images/build",
                "externalParameters": {"program": program, "package": made["package"], "platform": made["platform"]},
                "internalParameters": {"command": "deploy/images/build", "profile": made["profile"], "rustflags": made["rustflags"]},
                "resolvedDependencies": [
                    source,
                    {"name": "Cargo.lock", "digest": {"sha256": locked}},
                    {"name": "rustc", "annotations": {"version": rustc()}},
                    {"name": "ca-certificates", "annotations": {"version": debian("ca-certificates", "data")["version"]}},
                ],
            },
            "runDetails": {"builder": {"id": "https://backchat/unsigned"}, "metadata": {}},
        },
    }


def rustc():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def lock(root):
    return tomllib.loads(Path(root, "Cargo.lock").read_text())
