"""Make the documentation's results anew: `python docs/make_results.py [--data DIR] [NAME ...]`.

Every study runs twice, with its fast settings and with the full ones; without names, all do, and
every picture of the gallery. A study's files in `docs/results` are replaced when its full run is
done, a picture in `docs/images` likewise, and `npylstm/experiments/known.json` is told how long the
runs took and what the full one found. `--draw` runs nothing and draws what was found anew.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from npylstm.experiments import EXPERIMENTS, PICTURES, Study, StudyResult

DOCS = Path(__file__).parent
KNOWN = DOCS.parent / "npylstm" / "experiments" / "known.json"


def tell(name: str, **facts: float | str) -> None:
    """Keep facts about a study for `npylstm.experiments` to tell."""
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    known[name] = known.get(name, {}) | facts
    KNOWN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def replace(result: StudyResult, endings: tuple[str, ...], folder: Path) -> None:
    """Write a result's files of these kinds over the old ones."""
    study = (EXPERIMENTS | PICTURES)[result.name]
    with tempfile.TemporaryDirectory(dir=folder) as new:
        result.save(Path(new), study.figure(result))
        for ending in endings:
            file = f"{result.name}.{ending}"
            (Path(new) / file).replace(folder / file)


def timed(study: Study, **options: Any) -> tuple[StudyResult, float]:
    """Run a study here; return what it found, and the seconds of one core it took."""
    began = time.process_time()
    result = study.run(**options)
    return result, round(time.process_time() - began, 1)


def make(name: str, data: str | None) -> None:
    """Run a study or a picture with both settings."""
    study = (EXPERIMENTS | PICTURES)[name]
    options = {"data": data} if "data" in study.full else {}
    print(name, flush=True)
    fast, fast_seconds = timed(study)
    full, full_seconds = timed(study, full=True, **options) if study.fast else (fast, fast_seconds)
    if options:  # where the folder was is of no interest to a reader
        full.settings["data"] = data and Path(data).name
    if name in PICTURES:
        replace(full, ("png",), DOCS / "images")
    else:
        replace(full, ("csv", "json", "npz", "png"), DOCS / "results")
    tell(name, fast=fast_seconds, full=full_seconds, found=full.verdict)
    print(full.table(), flush=True)


def draw(name: str) -> None:
    """Say and draw anew what a study found, from its numbers."""
    old = StudyResult.load(DOCS / "results", name)
    new = EXPERIMENTS[name].result(old.settings, old.rows, old.curves, old.seconds)
    replace(new, ("csv", "json", "npz", "png"), DOCS / "results")
    tell(name, found=new.verdict)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which studies and pictures")
    parser.add_argument("--data", help="folder with MNIST")
    parser.add_argument("--draw", action="store_true", help="draw what was found, and run nothing")
    options = parser.parse_args()
    began = time.perf_counter()
    for name in options.names or (EXPERIMENTS if options.draw else EXPERIMENTS | PICTURES):
        if options.draw:
            draw(name)
        else:
            make(name, options.data)
    print(f"all in {(time.perf_counter() - began) / 60:.1f} min")


if __name__ == "__main__":
    main()
