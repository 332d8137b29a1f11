"""Run the catalogue of reported failures against lossmith; exit 1 if a case fails that lossmith has a loss for.

``python -m tests.conformance PATH/TO/failures.py``
"""

import json
import os
import subprocess
import sys
import tempfile

ADAPTER = "tests.conformance.adapter:LossmithAdapter"


def main(catalogue: str) -> int:
    with tempfile.NamedTemporaryFile(suffix=".json") as found:
        command = [sys.executable, catalogue, "--peers", "", "--adapter", ADAPTER, "-v", "--json", found.name]
        here = {"PYTHONPATH": os.getcwd(), "FAILURES_STRICT": "1", "PYTHONWARNINGS": "ignore"}
        subprocess.run(command, check=True, env=os.environ | here)
        cases = json.load(found)[ADAPTER]["results"].values()
    count = {word: sum(case["status"] == word for case in cases) for word in ("pass", "fail", "n/a")}
    print(f"conformance: {count['pass']} pass, {count['fail']} fail, {count['n/a']} not expressible yet")
    return int(count["fail"] > 0 or count["pass"] == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
