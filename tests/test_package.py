import ast
import importlib
import importlib.resources
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import npylstm

ROOT = Path(npylstm.__file__).parent
HOME = Path(__file__).parents[1]
FILES = sorted(ROOT.rglob("*.py"))

FLOORS = (
    {"checks", "course", "files", "terminal"},
    {"backend"},
    {"data"},
    {"cells"},
    {"sequence"},
    {"models"},
    {"interop"},
    {"analysis", "plots"},
    {"training", "exercises"},
    {"tf1", "experiments", "explain", "bench"},
    {"cli"},
    {"__main__"},
)
"""The rooms of the package from the ground up: each imports only from floors below its own."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

LIBRARIES = {
    "cupy": {"backend"},
    "matplotlib": {"plots", "training", "experiments", "exercises"},
    "argcomplete": {"cli"},
    "safetensors": {"interop"},
    "tqdm": {"cli", "data", "experiments"},
    # reads notebooks in which students have used its extensions, where it is installed
    "IPython": {"exercises"},
    # what the package is compared with, where it is installed
    "torch": {"bench"},
    "tensorflow": {"bench"},
    "platformdirs": {"files"},
    "threadpoolctl": {"bench", "cli", "sequence"},
}
"""The rooms that may import a library other than NumPy."""


def room(path):
    """The module or subpackage right below `npylstm` that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """Every (line, module) that a file imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            if isinstance(node.args[0], ast.Constant):
                yield node.lineno, node.args[0].value
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            if node.module == "npylstm":  # the names are rooms, or constants of the package
                for alias in node.names:
                    yield node.lineno, f"npylstm.{alias.name}"
            else:
                yield node.lineno, node.module


def python(code):
    """Run code in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ------------------------------------------------------------------ architecture


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_rooms_import_only_from_the_floors_below(path):
    own = room(path)
    if own == "__init__":  # hands names on, to whom nothing heavy must be loaded
        own = "bench"
    assert own in FLOOR, f"{own} has no floor yet: give it one in FLOORS"
    for line, module in imports(path):
        target = [*module.split("."), ""][1]
        if module.startswith("npylstm.") and target != own and target in FLOOR:
            assert FLOOR[target] < FLOOR[own], f"{path.name}:{line}: {own} imports {target}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_one_room_takes_from_another_is_public(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.module.startswith("npylstm."):
            continue
        _, target, *inside = node.module.split(".")
        if target == room(path) or (ROOT / f"{target}.py").exists():
            continue
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        if node.module == "npylstm.data.fetch":  # needs the network, so nobody loads it unasked
            continue
        assert not inside, f"{where} reaches into {node.module}"
        public = importlib.import_module(node.module).__all__
        for alias in node.names:
            assert alias.name in public, f"{where}: {alias.name} is not public in {node.module}"


def test_libraries_other_than_numpy_are_imported_only_where_they_are_meant_to_be():
    for path in FILES:
        for line, module in imports(path):
            library = module.partition(".")[0]
            if library not in sys.stdlib_module_names | {"numpy", "npylstm"}:
                where = f"{path.relative_to(ROOT)}:{line}"
                assert room(path) in LIBRARIES.get(library, ()), f"{where} imports {library}"


def test_no_file_draws_from_the_global_random_state():
    """Of `numpy.random` only what makes, or is, a source of randomness of its own may be used."""
    allowed = {"default_rng", "Generator", "SeedSequence", "PCG64", "RandomState"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "random"
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id == "np"
            ):
                assert node.attr in allowed, f"{path.name}:{node.lineno} uses np.random.{node.attr}"


# ------------------------------------------------------------------ importing


def test_every_public_name_is_there():
    assert set(npylstm.__all__) <= set(dir(npylstm))
    assert sorted(npylstm.__all__) == sorted(
        name
        for name, value in vars(npylstm).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    )


def public_names():
    """Every public (name, room, object): of a room what `__all__` names, of a module its own."""
    for room_ in FLOOR.keys() - {"__main__"}:
        module = importlib.import_module(f"npylstm.{room_}")
        names = getattr(module, "__all__", None)
        for name in names if names is not None else sorted(vars(module)):
            thing = getattr(module, name)
            own = names is not None or getattr(thing, "__module__", None) == module.__name__
            if own and not name.startswith("_"):
                yield name, room_, thing


def test_a_public_name_means_one_thing_in_the_whole_package():
    meanings = {}
    for name, room_, thing in public_names():
        if room_ != "tf1":  # whose names are TensorFlow's
            first, where = meanings.setdefault(name, (thing, room_))
            assert thing is first, f"{name} is one thing in {where}, and another in {room_}"


def test_no_class_and_no_public_function_shares_its_name():
    public, places = {name for name, room_, _ in public_names() if room_ != "tf1"}, {}
    # tf1 has TensorFlow's names; an answer, and what it is compared with, has the task's name.
    files = [
        f for f in FILES if room(f) != "tf1" and f.name not in ("solutions.py", "functions.py")
    ]
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_class = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if is_class or (isinstance(node, ast.FunctionDef) and node.name in public):
                places.setdefault(node.name, set()).add(path.relative_to(ROOT).as_posix())
    assert not {name: sorted(where) for name, where in places.items() if len(where) > 1}


def test_importing_the_package_loads_neither_matplotlib_nor_cupy():
    code = "import sys, npylstm; print(*{name.partition('.')[0] for name in sys.modules})"
    assert not {"matplotlib", "cupy", "torch", "tqdm"} & set(python(code).split())


def test_cells_to_models_load_neither_matplotlib_nor_cupy():
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['cupy'] = None\n"
        "import npylstm.models, npylstm.training, npylstm.analysis, npylstm.tf1"
    )
    python(code)


def test_every_room_can_be_imported_first():
    """A cycle of imports shows only when one begins at the wrong end."""
    rooms = [name for name in FLOOR if name != "__main__"]
    code = (
        "import importlib, sys\n"
        f"for room in {rooms}:\n"
        "    for name in [name for name in sys.modules if name.startswith('npylstm')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(f'npylstm.{room}')\n"
    )
    python(code)


# ------------------------------------------------------------------ what is delivered


def test_the_package_is_typed():
    assert importlib.resources.files("npylstm").joinpath("py.typed").is_file()


def test_every_python_that_the_package_names_is_tested_on_three_systems():
    workflow = HOME / ".github" / "workflows" / "tests.yml"
    if not workflow.exists():
        pytest.skip("only in the repository")
    text = workflow.read_text(encoding="utf-8")
    setup = (HOME / "setup.cfg").read_text(encoding="utf-8")
    named = re.findall(r"Python :: (3\.\d+)", setup)
    tested = re.search(r"python: \[(.*)\]", text)[1]
    assert named == re.findall(r"3\.\d+", tested)
    assert "os: [ubuntu-latest, windows-latest, macos-latest]" in text
    oldest = re.search(r"numpy>=([\d.]+)", setup)[1]
    assert f"numpy=={oldest}" in text


def test_every_mistake_to_plant_is_found_once(monkeypatch):
    monkeypatch.syspath_prepend(str(HOME / "tests" / "mutation"))
    mistakes = importlib.import_module("mistakes")
    assert mistakes.MISTAKES.keys() == mistakes.TESTS.keys()
    for file, changes in mistakes.MISTAKES.items():
        source = (ROOT / file).read_text(encoding="utf-8")
        for old, new in changes:
            assert source.count(old) == 1, f"{file}: {old!r}"
            assert old != new, f"{file}: {new!r}"
