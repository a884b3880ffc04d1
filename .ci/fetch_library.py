#!/usr/bin/env python3
"""Fetches shared libraries out of a Python wheel, by hash.

    fetch_library.py .ci/wheels/onnxruntime ~/.local/share/vproc

The first folder holds requirement.txt, the wheel with its hash as pip wants it, and for each
kind of processor ARCH.sha256, the files to take out of the wheel with their hashes.
Where all of them are in place with the right hashes nothing is done and nothing is fetched.
"""
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

STABLE_NAME = "libonnxruntime.so"


def fail(message):
    sys.exit(f"fetch_library: {message}")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_right(path, want):
    return path.is_file() and sha256(path) == want


def pip(scratch):
    """This Python's pip, else one in a virtual environment of its own."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return [sys.executable, "-m", "pip"]
    if subprocess.run([sys.executable, "-m", "venv", scratch / "venv"], capture_output=True).returncode == 0:
        return [scratch / "venv/bin/python", "-m", "pip"]
    fail("neither pip nor venv works in this Python; install python3-pip")


def download(lock, arch, scratch):
    command = [
        *pip(scratch), "download", "--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps",
        "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", f"manylinux_2_28_{arch}",
        "--dest", scratch, "--requirement", lock / "requirement.txt",
    ]
    if subprocess.run(command).returncode != 0:
        fail(f"the wheel of {lock / 'requirement.txt'} could not be fetched; is there a network, or PIP_INDEX_URL to set?")
    return next(scratch.glob("*.whl"))


def main():
    if len(sys.argv) != 3:
        fail(f"usage: {sys.argv[0]} LOCK_FOLDER INTO_FOLDER")
    lock, into = Path(sys.argv[1]), Path(sys.argv[2])
    arch = platform.machine()
    table = lock / f"{arch}.sha256"
    if platform.system() != "Linux" or not table.is_file():
        fail(f"no {lock.name} wheel is listed for {platform.system()} {arch}; set ORT_DYLIB_PATH to a library of your own")
    wanted = {name: digest for digest, name in (line.split() for line in table.read_text().splitlines())}
    library = next(name for name in wanted if name.startswith(f"{STABLE_NAME}."))
    stable = into / STABLE_NAME

    missing = [name for name, digest in wanted.items() if not is_right(into / name, digest)]
    if missing:
        into.mkdir(parents=True, exist_ok=True)
        print(f"fetching {', '.join(missing)} into {into}", flush=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=into) as scratch:
            scratch = Path(scratch)
            with zipfile.ZipFile(download(lock, arch, scratch)) as wheel:
                for name in missing:
                    with wheel.open(f"onnxruntime/capi/{name}") as source, open(scratch / name, "wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                    if not is_right(scratch / name, wanted[name]):
                        fail(f"{name} has sha256 {sha256(scratch / name)}, {table} says {wanted[name]}")
                    os.chmod(scratch / name, 0o755)
                    os.replace(scratch / name, into / name)
    if not (stable.is_symlink() and os.readlink(stable) == library):
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=into) as scratch:
            link = Path(scratch) / STABLE_NAME
            link.symlink_to(library)
            os.replace(link, stable)


if __name__ == "__main__":
    main()
