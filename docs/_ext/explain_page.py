"""The page of `npylstm explain`, made when the site is built, for the home page to embed."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "_build" / "explain"


def make() -> str:
    """Train a small network, make its page, and return the folder that holds nothing else."""
    from npylstm.explain import RunPage

    FOLDER.mkdir(parents=True, exist_ok=True)
    page = FOLDER / "explain.html"
    page.unlink(missing_ok=True)
    RunPage().make().save(page)
    return str(FOLDER)
