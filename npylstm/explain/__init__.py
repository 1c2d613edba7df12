"""A page that walks through back-propagation: every number, its equation, and its line of code."""

from npylstm.explain.document import Page, page
from npylstm.explain.runs import RunPage

__all__ = ["Page", "RunPage", "page"]
