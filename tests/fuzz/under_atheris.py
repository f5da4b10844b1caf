"""One target under atheris: `under_atheris.py TARGET [libFuzzer options and corpus folders]`.

`run.py` starts it. A process of its own, since libFuzzer ends the process when it is done, and
coverage is seen only in modules that are imported under `instrument_imports`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["common", "ingest"]):
    from tests.fuzz.harnesses import HARNESSES


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, HARNESSES[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
