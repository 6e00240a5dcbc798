"""Looks every pinned package up among the known vulnerabilities: `python .ci/audit.py LOCK_FILE`.

Exit code 1 when one is known. pip-audit alone ends with 0 when the service knows none of the
packages (behind a mirror, say): this says how many were really looked up, and calls it not done
when that is none. Not done is no failure, since a machine without that service could not test at
all then; with AUDIT=required it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main(lock: str) -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    command += ["-r", lock, "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return not_done(f"the service does not answer: {last[:200]}")
    looked_up = [package for package in packages if "vulns" in package]
    if not looked_up:
        return not_done(f"the service knows none of the {len(packages)} packages")
    found = [package for package in looked_up if package["vulns"]]
    for package in found:
        known = ", ".join(vulnerability["id"] for vulnerability in package["vulns"])
        say(f"audit: {package['name']} {package['version']}: {known}")
    say(f"audit: {len(looked_up)} of {len(packages)} packages looked up, {len(found)} vulnerable")
    return 1 if found else 0


def not_done(reason: str) -> int:
    say(f"audit: NOT DONE, {reason}")
    return 1 if os.environ.get("AUDIT") == "required" else 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
