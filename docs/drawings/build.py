"""Write every drawing as SVG beside its code: `python docs/drawings/build.py`.

python docs/drawings/build.py                     write all that changed
python docs/drawings/build.py gru_unrolled        write this one
python docs/drawings/build.py --check             write nothing; fail if a file is not up to date
"""

import argparse
import importlib
import sys
from pathlib import Path

from style import DRAWINGS

HERE = Path(__file__).resolve().parent
THE_KIT = {"build", "lettering", "lines", "style"}


def load_all() -> None:
    """Import every file of drawings in this folder, which registers what it draws."""
    for path in sorted(HERE.glob("*.py")):
        if path.stem not in THE_KIT:
            importlib.import_module(path.stem)


def draw(name: str) -> bytes:
    """Return what the file of this drawing must hold."""
    return DRAWINGS[name]().svg().encode("utf-8")


def stale(names: list[str]) -> list[str]:
    """Return a complaint for each drawing whose file is missing or not what its code gives."""
    complaints = []
    for name in names:
        path = HERE / f"{name}.svg"
        if not path.exists():
            complaints.append(f"docs/drawings/{name}.svg is missing")
        elif path.read_bytes() != draw(name):
            complaints.append(f"docs/drawings/{name}.svg is not what its code draws")
    return complaints


def orphans() -> list[str]:
    """Return a complaint for each SVG in the folder that no code draws."""
    drawn = {f"{name}.svg" for name in DRAWINGS}
    files = sorted(path.name for path in HERE.glob("*.svg"))
    return [f"docs/drawings/{file} has no code; delete it" for file in files if file not in drawn]


def main(arguments: list[str]) -> int:
    """Write or check the drawings; return 1 if something is amiss."""
    parser = argparse.ArgumentParser(description="Write every drawing as SVG beside its code.")
    parser.add_argument("names", nargs="*", help="these drawings only")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    options = parser.parse_args(arguments)

    load_all()
    unknown = [name for name in options.names if name not in DRAWINGS]
    if unknown:
        parser.error(f"no drawing is named {', '.join(unknown)}; there are {', '.join(DRAWINGS)}")
    names = options.names or list(DRAWINGS)

    complaints = stale(names)
    if options.check:
        complaints += orphans()
        if complaints:
            print("\n".join(complaints), file=sys.stderr)
            print("Run python docs/drawings/build.py to write them.", file=sys.stderr)
        return 1 if complaints else 0

    for name in names:
        path = HERE / f"{name}.svg"
        content = draw(name)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            print(f"wrote docs/drawings/{name}.svg")
    complaints = orphans()
    if complaints:
        print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
