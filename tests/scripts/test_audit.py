"""The audit of dependencies, with a pip-audit of our own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "audit.py"
SOUND = {"name": "sound", "version": "1", "vulns": []}
WEAK = {
    "name": "weak",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3"], "description": "bad"}],
}
SKIPPED = "SKIPPED, nothing is known about vulnerabilities"
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def audit(folder: Path, code: str, noted: str = "") -> subprocess.CompletedProcess[str]:
    """The audit with a program in place of pip-audit, which has the file to write as `out`."""
    program = folder / "pip_audit.py"
    program.write_text(f"import sys, time, json\nout = sys.argv[sys.argv.index('--output') + 1]\n{code}\n")
    (folder / "noted.txt").write_text(noted)
    script = SCRIPT.read_text().replace("LIMIT_S = 60", "LIMIT_S = 8")
    (folder / "audit.py").write_text(script)
    command = [sys.executable, "audit.py", "site-packages", "noted.txt", sys.executable, str(program)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def writes(*packages: dict[str, object], status: int = 0) -> str:
    return f"open(out, 'w').write({json.dumps({'dependencies': packages})!r}); sys.exit({status})"


@pytest.mark.parametrize(
    ("code", "noted", "status", "message"),
    [
        (writes(SOUND, SOUND), "", 0, "Audited 2 packages: 0 vulnerabilities"),
        (writes(SOUND, WEAK, status=1), "", 1, "weak 2: PYSEC-1, fixed in 3"),
        (writes(SOUND, WEAK, status=1), "# a reason\nCVE-1 not used here\n", 0, "0 vulnerabilities, 1 more"),
        (writes(SOUND, WEAK, status=1), "CVE-2 another\n", 1, "note the id and why in noted.txt"),
        (
            writes(SOUND, UNKNOWN, UNKNOWN),
            "",
            0,
            f"{SKIPPED}: no data about 2 of 3",
        ),
        ("sys.exit('no network')", "", 0, f"{SKIPPED}: no network"),
        ("time.sleep(60)", "", 0, f"{SKIPPED}: pip-audit did not end in 8 s"),
    ],
)
def test_an_audit_fails_for_what_is_known_and_not_noted(
    code: str, noted: str, status: int, message: str, tmp_path: Path
) -> None:
    done = audit(tmp_path, code, noted)
    assert (done.returncode, message in done.stdout) == (status, True), done.stdout + done.stderr
