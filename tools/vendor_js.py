"""Re-create `api/static/vendor/` from npm, checking every archive against its recorded integrity.

    python tools/vendor_js.py            fetch, verify and write the files
    python tools/vendor_js.py --check    only recompute the hashes of what is committed

Only whoever updates a library runs the first form; installing and running need neither Node nor npm.
"""

import argparse
import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "api" / "static" / "vendor"


def libraries() -> list[dict[str, object]]:
    """The entries of VENDOR.toml."""
    found = tomllib.loads((VENDOR / "VENDOR.toml").read_text(encoding="utf-8"))["library"]
    assert isinstance(found, list)
    return found


def integrity(data: bytes) -> str:
    """Subresource integrity of an archive, as npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def folder_of(library: dict[str, object]) -> Path:
    """Where one library's files stand."""
    return VENDOR / f"{library['name']}-{library['version']}"


def fetch(library: dict[str, object]) -> None:
    """Pack one library with npm, verify the archive, and keep the files that are named."""
    spec = f"{library['name']}@{library['version']}"
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["npm", "pack", "--silent", spec], cwd=scratch, check=True)
        (archive,) = Path(scratch).glob("*.tgz")
        if integrity(archive.read_bytes()) != library["integrity"]:
            raise SystemExit(f"{spec}: the archive does not have the recorded integrity")
        files = library["files"]
        assert isinstance(files, dict)
        target = folder_of(library)
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            for name in files:
                member = tar.extractfile(f"package/{name}")
                if member is None:
                    raise SystemExit(f"{spec}: {name} is not in the archive")
                (target / Path(name).name).write_bytes(member.read())


def wrong_files(library: dict[str, object]) -> list[str]:
    """Files of one library whose SHA-256 is not the recorded one, or that are missing."""
    files = library["files"]
    assert isinstance(files, dict)
    wrong: list[str] = []
    for name, expected in files.items():
        path = folder_of(library) / Path(name).name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"
        if found != expected:
            wrong.append(f"{path.name}: {found}")
    return wrong


def main() -> int:
    """Fetch unless told only to check; then compare every file with its hash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check what is committed")
    check_only = parser.parse_args().check
    wrong: list[str] = []
    for library in libraries():
        if not check_only:
            fetch(library)
        wrong += wrong_files(library)
    for line in wrong:
        sys.stderr.write(line + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
