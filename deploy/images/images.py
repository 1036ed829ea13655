"""How the images are made, and where they lie: what `build` and `check` share."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import statements

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# An image for each program, and the package that it is in.
PACKAGES = {
    "gateway": "gateway",
    "history-worker": "history-worker",
    "search-worker": "search-worker",
    "auth-service": "auth-service",
    "backchat-setup": "broker",
    "backchat": "backchat",
}
# How they are compiled: Cargo.toml says why not as for a benchmark.
PROFILE = "image"
# The kinds of machine that images are for, and how compilers call them.
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
NATIVE = next((name for name, machine in MACHINES.items() if machine == platform.machine()), "")
FOLDER = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").absolute() / "images"
OUT = FOLDER / "out"
# Where root may write what does not outlive the machine's next start, and where others may.
RUN = Path("/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or FOLDER / "run")
# Images lie in a folder of their own, not in the machine's. Plain folders: they work on any file system.
STORAGE = ["--root", str(FOLDER / "storage"), "--runroot", str(RUN / f"backchat-images-{os.getuid()}"), "--storage-driver", "vfs"]
REGISTRY = "localhost/backchat"
AUTHORITIES = Path("/usr/share/ca-certificates/mozilla")


def say(line):
    print(line, flush=True)


def fail(why):
    sys.exit(f"{Path(sys.argv[0]).name}: {why}")


def output(*command, **options):
    """What a command prints. One that fails ends this program, and says why."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def install(*packages):
    subprocess.run([ROOT / "scripts/apt-install", *packages], check=True)


class Images:
    """The images of one platform."""

    def __init__(self, wanted=None):
        self.platform = wanted or NATIVE
        if self.platform not in MACHINES:
            fail(f"images are made for {' and '.join(MACHINES)}, not for {self.platform or platform.machine()}")
        self.target = f"{MACHINES[self.platform]}-unknown-linux-gnu"
        self.out = OUT / self.platform.replace("/", "-")
        self.context = FOLDER / "context" / self.platform.replace("/", "-")
        self.version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.revision = revision()
        self.rustflags = rustflags()

    def name(self, program):
        return f"{REGISTRY}/{program}:{self.version}"

    def compile(self):
        """Compiles every program without any library of the machine, and without the machine's paths in it."""
        subprocess.run([ROOT / "scripts/compiler"], check=True)
        environment = dict(os.environ, RUSTFLAGS=" ".join(self.rustflags), CFLAGS=" ".join(cflags()))
        if self.platform != NATIVE:
            environment |= self.cross()
        packages = [word for package in PACKAGES.values() for word in ("--package", package)]
        subprocess.run(
            ["cargo", "build", "--profile", PROFILE, "--locked", "--target", self.target, "--target-dir", FOLDER, "--bins", *packages],
            cwd=ROOT, env=environment, check=True,
        )

    def cross(self):
        """What compiling for another kind of machine needs: Rust's library for it, and Debian's C compiler."""
        library = Path(output("rustc", "--print", "target-libdir", "--target", self.target))
        if not library.is_dir():
            if not shutil.which("rustup"):
                fail(f"Rust has no library for {self.platform} here, and there is no rustup to fetch it with")
            output("rustup", "target", "add", self.target)
        compiler = f"{MACHINES[self.platform]}-linux-gnu"
        install(f"gcc-{compiler.replace('_', '-')}", f"libc6-dev-{self.platform.partition('/')[2]}-cross")
        linker = f"CARGO_TARGET_{self.target.upper().replace('-', '_')}_LINKER"
        return {linker: f"{compiler}-gcc", f"CC_{self.target}": f"{compiler}-gcc"}

    def lay_out(self):
        """The context that the images are built from."""
        install("buildah", "ca-certificates")
        shutil.rmtree(self.context, ignore_errors=True)
        self.context.mkdir(parents=True)
        for program in PACKAGES:
            os.link(FOLDER / self.target / PROFILE / program, self.context / program)
        # Of the package, and not the machine's own list: nobody's proxy is to be believed in an image.
        authorities = sorted(AUTHORITIES.glob("*.crt"))
        (self.context / "ca-certificates.crt").write_bytes(b"".join(file.read_bytes() for file in authorities))
        for path in self.context.iterdir():
            path.chmod(0o644 if path.suffix else 0o755)

    def build(self, program, into):
        """Builds one image, writes it as an OCI archive, and gives the digest under which a registry has it."""
        output(
            "buildah", *STORAGE, "bud", "--isolation", "chroot", "--no-cache", "--timestamp", 0, "--platform", self.platform,
            "--build-arg", f"VERSION={self.version}", "--build-arg", f"REVISION={self.revision}",
            "--file", HERE / "Containerfile", "--target", program, "--tag", self.name(program), self.context,
        )
        into.mkdir(parents=True, exist_ok=True)
        archive, digest = into / f"{program}.tar", into / f"{program}.digest"
        archive.unlink(missing_ok=True)
        output("buildah", *STORAGE, "push", "--digestfile", digest, self.name(program), f"oci-archive:{archive}:{self.name(program)}")
        return digest.read_text().strip()

    def state(self, program, digest):
        """Writes beside the image what is in it, and how it was made."""
        package = PACKAGES[program]
        what = statements.bill_of_materials(ROOT, program, package, self.version, self.target, digest)
        how = statements.provenance(ROOT, program, digest, {
            "platform": self.platform, "profile": PROFILE, "revision": self.revision, "rustflags": self.rustflags, "package": package,
        })
        for name, statement in (("cdx", what), ("provenance", how)):
            (self.out / f"{program}.{name}.json").write_text(json.dumps(statement, indent=2) + "\n")

    def clean(self):
        """Takes what was built out of the store, except for the images that have a name."""
        output("buildah", *STORAGE, "rmi", "--prune", "--force")


def join(program, platforms):
    """Makes one archive of a program's images for all these platforms, and gives the digest under which a registry has it. Each
    machine that asks a registry for it is given its own."""
    name, archive, digest = platforms[0].name(program), OUT / f"{program}.tar", OUT / f"{program}.digest"
    archive.unlink(missing_ok=True)
    listed = f"localhost/lists/{program}"
    subprocess.run(["buildah", *STORAGE, "manifest", "rm", listed], capture_output=True)
    output("buildah", *STORAGE, "manifest", "create", listed)
    for images in platforms:
        output("buildah", *STORAGE, "manifest", "add", listed, f"oci-archive:{images.out / archive.name}")
    output("buildah", *STORAGE, "manifest", "push", "--all", "--digestfile", digest, listed, f"oci-archive:{archive}:{name}")
    output("buildah", *STORAGE, "manifest", "rm", listed)
    return digest.read_text().strip()


def revision():
    """The commit, marked when files differ from it."""
    git = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    if git.returncode != 0:
        return "unknown"
    changed = output("git", "-C", ROOT, "status", "--porcelain")
    return git.stdout.strip() + ("-changed" if changed else "")


def remapped():
    """Paths of this machine, and what stands for them in a program."""
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return {cargo / "registry/src": "/cargo", FOLDER: "/build"}


def rustflags():
    return ["-C target-feature=+crt-static", *(f"--remap-path-prefix={path}={name}" for path, name in remapped().items())]


def cflags():
    return [f"-ffile-prefix-map={path}={name}" for path, name in remapped().items()]

