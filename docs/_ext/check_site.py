"""Check the finished site: every link inside it leads somewhere, and no page loads from outside."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

from sphinx.util import logging

logger = logging.getLogger(__name__)
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}


class Page(HTMLParser):
    """The anchors of a page, the links in it, and what it loads when it is opened."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        """Note what a tag defines or refers to."""
        values = dict(attributes)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        elif tag in LOADED and values.get(LOADED[tag]) and values.get("rel") != "canonical":
            self.loaded.add(values[LOADED[tag]])


def problems(site: Path, allowed: str = "") -> list[str]:
    """Return what is wrong with the links of a site; `allowed` is an address to load from."""
    pages = {path.relative_to(site).as_posix(): Page(path) for path in site.rglob("*.html")}
    found = []
    for name, page in pages.items():
        for address in page.loaded - {allowed}:
            if "//" in address:
                found.append(f"{name} loads {address}")
        for address in page.links | page.loaded:
            if ":" in address.partition("/")[0] or address.startswith("//"):
                continue  # leads out of the site
            target, anchor = urldefrag(urljoin(name, address))
            target, anchor = unquote(target.partition("?")[0]), unquote(anchor)
            if not (site / target).is_file():
                found.append(f"{name} links to {address}, which is not there")
            elif target in pages and anchor not in pages[target].anchors:
                found.append(f"{name} links to {address}, but there is no such anchor")
    return sorted(found)


def setup(app):
    """Warn of every problem when the site has been built."""

    def check(app, exception):
        if exception is None and app.builder.name == "html":
            for problem in problems(Path(app.outdir), app.config.mathjax_path):
                logger.warning(problem, type="site")

    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
