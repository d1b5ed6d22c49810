"""Whether installed packages have known vulnerabilities: python scripts/audit.py FOLDER NOTED COMMAND...

FOLDER is a `site-packages`, NOTED a file of vulnerabilities that are known and accepted, COMMAND runs pip-audit. Fails
for any other vulnerability. Where the data about them cannot be reached, or not in time, it says so and does not fail.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LIMIT_S = 60


def main() -> int:
    folder, noted, command = sys.argv[1], noted_in(Path(sys.argv[2])), sys.argv[3:]
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "audit.json"
        options = ["--path", folder, "--format", "json", "--output", str(out), "--progress-spinner", "off"]
        try:
            done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return skipped(f"pip-audit did not end in {LIMIT_S} s")
        if not out.exists():
            return skipped((done.stderr.strip().splitlines() or ["pip-audit wrote nothing"])[-1])
        packages: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["dependencies"]
    audited = [package for package in packages if "skip_reason" not in package]
    # Of a package index without data about vulnerabilities, pip-audit says that it does not know the package.
    if len(audited) < len(packages) / 2:
        return skipped(f"no data about {len(packages) - len(audited)} of {len(packages)} packages")
    found = [(package, problem) for package in audited for problem in package["vulns"]]
    new = [(package, problem) for package, problem in found if noted.isdisjoint({problem["id"], *problem["aliases"]})]
    for package, problem in new:
        fixed = ", ".join(problem["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {problem['id']}, fixed in {fixed}")
    print(f"Audited {len(audited)} packages: {len(new)} vulnerabilities, {len(found) - len(new)} more that are noted.")
    if new:
        print(
            f"Raise the floor in pyproject.toml; or, if it does not concern us, note the id and why in {sys.argv[2]}."
        )
    return 1 if new else 0


def noted_in(file: Path) -> set[str]:
    """Identifiers, each the first word of a line."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}


def skipped(why: str) -> int:
    print(f"SKIPPED, nothing is known about vulnerabilities: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
