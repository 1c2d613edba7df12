"""The answers to the questions in the course's notebooks: one to each, and their code runs."""

import json
import re
from pathlib import Path

import pytest

from npylstm.exercises.handouts import answers

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
ANSWERS = answers()


def questions(name):
    """Return how many questions stand at the end of a notebook."""
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    ends = [text.split("## Questions")[1] for text in texts if "## Questions" in text]
    return [int(n) for end in ends for n in re.findall(r"^(\d+)\. ", end, re.MULTILINE)]


@pytest.mark.parametrize("name", ANSWERS)
def test_there_is_an_answer_to_every_question(name):
    given = [int(n) for n in re.findall(r"^### (\d+)\. ", ANSWERS[name], re.MULTILINE)]
    assert given == questions(name.replace(".md", ".ipynb"))


def test_at_least_the_61_questions_of_the_course_are_answered():
    assert sum(len(questions(name.replace(".md", ".ipynb"))) for name in ANSWERS) >= 61


@pytest.mark.parametrize("name", ANSWERS)
def test_the_code_of_the_answers_holds(name):
    namespace = {}
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", ANSWERS[name], re.DOTALL)):
        exec(compile(code, f"{name}, block {number + 1}", "exec"), namespace)
