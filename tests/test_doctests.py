"""The examples in docstrings run, and print what they say."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import npylstm

ROOT = Path(npylstm.__file__).parent


def modules_with_examples():
    for path in sorted(ROOT.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            yield ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_the_examples_of_a_module_print_what_they_say(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    source = Path(module.__file__).read_text(encoding="utf-8")
    for library in re.findall(r">>> import (\w+)", source):
        pytest.importorskip(library)
    examples = {"np": importlib.import_module("numpy")} | vars(npylstm)
    failed, tried = doctest.testmod(module, extraglobs=examples)
    assert tried
    assert not failed
