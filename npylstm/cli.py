"""The `npylstm` command: what was asked for, and what came of it.

Exit codes: 0 done, 1 a check or a training run failed, 2 the input is not sound, 130 interrupted.
"""
# PYTHON_ARGCOMPLETE_OK

import argparse
import contextlib
import importlib
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, NoReturn, TextIO, cast, get_args, get_origin

from threadpoolctl import threadpool_limits

from npylstm import __version__
from npylstm.backend import available_devices, resolve_device
from npylstm.checks import Option, check_number
from npylstm.course import notebooks, start_course
from npylstm.files import JSON, write_atomically
from npylstm.sequence import Recurrent, has_kernel
from npylstm.terminal import Output, OutputLost, in_options, near_choices, one_line, quoted, wrapped
from npylstm.training import CELL_KINDS, Run, RunSettings, TrainingState, find_cell

if TYPE_CHECKING:  # slow to import, and few commands need it
    from npylstm.experiments import Study

_BAR = "{desc} |{bar}| {percentage:3.0f} % in {elapsed}, {remaining} left{postfix}"


class _Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line instead of all it can do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {near_choices(message)} (see {self.prog} --help)\n")

    def know_options(self) -> None:
        """Let parsing say, under `names`, which option stands for which argument of a command.

        Under `parser` it says which parser read the command.
        """
        names = {
            part.dest: part.option_strings[-1] if part.option_strings else str(part.metavar)
            for part in self._actions
            if part.option_strings or isinstance(part.metavar, str)
        }
        self.set_defaults(names=names, parser=self)
        for part in self._actions:
            if isinstance(part, argparse._SubParsersAction):
                for command in part.choices.values():
                    command.know_options()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind `npylstm` on the command line; by default the process's own.

    Raises
    ------
    SystemExit
        With code 2, after one line on standard error, when the input is not sound.
    """
    output = Output(sys.stdout)
    try:
        with contextlib.redirect_stdout(cast(TextIO, output)):
            try:
                return _obey(arguments)
            finally:
                output.flush()
    except KeyboardInterrupt:
        return 130
    except OutputLost as lost:
        output.abandon()
        if lost.closed:  # who reads, such as `head`, has read enough
            return 0
        print(f"npylstm: cannot write to standard output: {lost}", file=sys.stderr)
        return 1
    except OSError as error:  # a disk that is full, a folder that has gone
        print(f"npylstm: {one_line(error)}", file=sys.stderr)
        return 1


def _obey(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    with contextlib.suppress(ImportError):  # an extra: completes commands and options in a shell
        importlib.import_module("argcomplete").autocomplete(parser)
    known, unknown = parser.parse_known_args(arguments)
    options = vars(known)
    names, asked = options.pop("names"), options.pop("parser")
    if unknown:  # the command that was asked for can tell what it knows
        asked.error(f"unrecognized arguments: {' '.join(unknown)}")
    command: Callable[..., int] | None = options.pop("command", None)
    if command is None:
        parser.print_help()
        return 0
    # The products of small networks gain nothing from several threads of BLAS, lose much where
    # other programs are busy, and round otherwise. What `bench` uses is for its options to say.
    threads = None if command is _bench else 1
    try:
        with threadpool_limits(threads, user_api="blas"):
            return command(**options)
    except _BadInput as error:
        print(f"npylstm: {near_choices(in_options(str(error), names))}", file=sys.stderr)
        raise SystemExit(2) from error


class _BadInput(Exception):
    """The input is not sound; the message says why."""


def _parser() -> _Parser:
    parser = _Parser(
        prog="npylstm",
        description="LSTM and RNN networks in plain NumPy: train one on handwritten digits, check "
        "its gradients, repeat published experiments, hand out exercises.",
    )
    parser.add_argument("--version", action="version", version=f"npylstm {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, command: Callable[..., int], text: str, more: str = "") -> _Parser:
        sub = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}. {more}"
        )
        sub.set_defaults(command=command)
        return sub

    train = add(
        "train",
        _train,
        "train a network to read the rows of handwritten digits",
        "It leaves a folder with the history, the weights and pictures. Without options: an LSTM "
        "of 28 units, 100 epochs on the digits that come with the package, in less than a minute.",
    )
    train.usage = "npylstm train [options]"
    _add_settings(train)
    folder = train.add_argument_group("run folder")
    folder.add_argument(
        "--out", type=_named, metavar="DIR", help="new folder for the run (default runs/...)"
    )
    folder.add_argument(
        "--resume",
        type=_named,
        metavar="DIR",
        help="go on with this run, to its last epoch or to --epochs",
    )

    check = add("gradcheck", _gradcheck, "compare every cell's gradients with numerical ones")
    check.add_argument("--cell", type=_cell, help="only this one, or MODULE:CLASS of your own")

    fetch = add("fetch", _fetch, "download a data set into your cache")
    fetch.add_argument("dataset", choices=["mnist"])

    add("devices", _devices, "say which devices can be used, and why others can't")

    walk = add(
        "explain",
        _explain,
        "make a page on which every number of back-propagation can be walked",
        "One HTML file that needs nothing else. Without RUN it trains a small LSTM first.",
    )
    walk.add_argument("run", nargs="?", type=_named, metavar="RUN", help="folder of a trained run")
    walk.add_argument("--digit", type=int, default=0, metavar="N", help="of the test set (0)")
    walk.add_argument(
        "--out", type=_path, default=Path("page.html"), metavar="FILE", help="new file (page.html)"
    )

    bench = add("bench", _bench, "time a training step beside a lower bound and other libraries")
    bench.add_argument(
        "--size",
        type=_size,
        nargs=4,
        action="append",
        metavar=("T", "D", "H", "B"),
        help="steps, inputs, units, batch; may be repeated (default: several sizes)",
    )
    bench.add_argument(
        "--device",
        choices=["cpu", "gpu", "auto"],
        default="cpu",
        help="gpu sets a GPU beside our fast path on the CPU (cpu)",
    )
    bench.add_argument("--threads", type=_size, metavar="N", help="for BLAS and PyTorch")
    bench.add_argument(
        "--seconds", type=float, default=10.0, metavar="X", help="for each size and task (10)"
    )
    bench.add_argument("--json", type=_path, metavar="FILE", help="new file for the timings")

    study = add("experiment", _experiment, "repeat a published experiment")
    study.add_argument("name", help="which one; `list` names them, `all` runs them")
    length = study.add_mutually_exclusive_group()
    length.add_argument("--fast", action="store_false", dest="full", help="in a minute (default)")
    length.add_argument("--full", action="store_true", help="as in the documentation")
    study.set_defaults(full=False)  # otherwise the first action's default, True, would hold
    study.add_argument("--seeds", type=_size, metavar="N", help="networks of each kind")
    study.add_argument("--data", metavar="DIR", help="folder with MNIST (default: the sample)")
    study.add_argument("--device", choices=["cpu", "gpu", "auto"], default="cpu", help="(cpu)")
    study.add_argument("--workers", type=_size, metavar="N", help="spread over N processes")
    study.add_argument("--out", type=_path, metavar="DIR", help="where to save table and figure")

    figure = add("figure", _figure, "make a picture of the gradient laboratory")
    figure.add_argument("name", help="which one; `list` names them, `all` makes them")
    figure.add_argument("--fast", action="store_true", help="a smaller study, within seconds")
    figure.add_argument("--seed", type=int, default=0, metavar="N", help="(0)")
    figure.add_argument("--workers", type=_size, metavar="N", help="spread over N processes")
    figure.add_argument(
        "--out", type=_path, default=Path("figures"), metavar="DIR", help="where to save (figures)"
    )

    _add_exercises(add("exercises", _list_exercises, "hand out, check and grade exercises"))
    _add_course(add("course", _list_course, "copy the notebooks of the course"))
    parser.know_options()
    return parser


def _add_exercises(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("list", help="list them").set_defaults(command=_list_exercises)
    start = commands.add_parser("start", help="write stubs and notebooks into a folder")
    start.add_argument("folder", type=_path, metavar="DIR")
    start.add_argument(
        "--source", action="store_true", help="a teacher's notebooks, with solutions, for nbgrader"
    )
    _add_choice(start)
    start.set_defaults(command=_start_exercises)
    check = commands.add_parser("check", help="say which answers are right, and what went wrong")
    check.add_argument(
        "path", type=_path, metavar="FILE", help="a .py file, a notebook or a folder"
    )
    check.add_argument(
        "--hint",
        type=int,
        choices=(1, 2, 3),
        default=1,
        help="how much to say of a mistake: where, what kind, an equation (1)",
    )
    _add_choice(check)
    check.set_defaults(command=_check_exercises)
    grade = commands.add_parser("grade", help="check every submission in a folder")
    grade.add_argument("folder", type=_path, metavar="DIR")
    grade.add_argument(
        "--out", type=_path, default=Path("grades.csv"), metavar="FILE", help="(grades.csv)"
    )
    _add_choice(grade)
    grade.add_argument("--workers", type=_size, metavar="N", help="check N at a time")
    grade.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    grade.add_argument("--json", type=_path, metavar="FILE", help="new file for all that is known")
    grade.add_argument(
        "--feedback", type=_path, metavar="DIR", help="new folder for a page for each submission"
    )
    grade.set_defaults(command=_grade_exercises)


def _add_course(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("list", help="list them").set_defaults(command=_list_course)
    start = commands.add_parser("start", help="copy them into a folder")
    start.add_argument("folder", type=_path, metavar="DIR")
    start.set_defaults(command=_start_course)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    from npylstm.exercises import PARTS, TASKS

    parser.add_argument(
        "--part",
        dest="parts",
        choices=PARTS,
        action="append",
        default=[],
        help="only this part; may be repeated",
    )
    parser.add_argument(
        "--task",
        dest="tasks",
        choices=TASKS,
        action="append",
        default=[],
        metavar="NAME",
        help="only this exercise; may be repeated",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add an option for every field of `RunSettings`; one that is not given leaves no trace."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for setting in fields(RunSettings):
        about = dict(setting.metadata)
        group, text = about.pop("group"), about.pop("help")
        if group not in groups:
            groups[group] = parser.add_argument_group(group, argument_default=argparse.SUPPRESS)
        if "choices" in about:
            text += f": {', '.join(about['choices'])}"
        default = about.pop("unset", setting.default)
        if default is not None and default is not False:
            text += f" (default: {default})"
        kind: object = setting.type
        if isinstance(kind, UnionType):  # `float | None` is given as a float
            kind = get_args(kind)[0]
        how = _KINDS[get_origin(kind) or kind] | about
        if setting.name == "cell":  # a cell of your own is not among the choices
            how = {"type": _cell, "metavar": "CELL"}
        groups[group].add_argument(f"--{setting.name.replace('_', '-')}", help=text, **how)


def _cell(text: str) -> str:
    """Read the name of a cell; a module that it names is imported later."""
    if text not in CELL_KINDS and ":" not in text:
        known = ", ".join(map(repr, CELL_KINDS))
        raise argparse.ArgumentTypeError(
            f"invalid choice: {text!r} (choose from {known}, or MODULE:CLASS)"
        )
    return text


def _named(text: str) -> str:
    """Read the name of a file or a folder; none at all would be the present folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must name a file or a folder, got {text!r}")
    return text


def _path(text: str) -> Path:
    """Read the name of a file or a folder as a path."""
    return Path(_named(text))


def _size(text: str) -> int:
    """Read a positive integer."""
    with contextlib.suppress(ValueError):
        if (value := int(text)) > 0:
            return value
    raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")


def _assignment(text: str) -> tuple[str, JSON]:
    """Split `name=value`; a value that is not JSON is a string."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"must read NAME=VALUE, got {text!r}")
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    return name, value


_KINDS: dict[object, dict[str, Option]] = {
    bool: {"action": "store_true"},
    int: {"type": int, "metavar": "N"},
    float: {"type": float, "metavar": "X"},
    str: {"type": str, "metavar": "NAME"},
    Mapping: {
        "type": _assignment,
        "metavar": "NAME=VALUE",
        "nargs": "+",
        "action": "extend",
    },
}
"""How an option of each type is read."""


@contextlib.contextmanager
def _input_judged() -> Iterator[None]:
    """Report wrong input in one line; use this only around code that reads the input.

    These are the errors that our checks raise. Around the work itself the same errors would be
    mistakes of ours, and keep their traceback.
    """
    try:
        yield
    except (ValueError, TypeError, OSError, RuntimeError, MemoryError) as error:
        raise _BadInput(one_line(error)) from error


def _train(out: str | None, resume: str | None, **options: Option) -> int:
    if "cell_options" in options:
        options["cell_options"] = dict(options["cell_options"])
    with _input_judged():
        if resume is None:
            run = Run.create(RunSettings(**options), out)
        elif out is not None or options.keys() - {"epochs"}:
            raise ValueError("--resume keeps the run's settings; only --epochs can go with it")
        else:
            run = Run.open(resume, options.get("epochs"))
    if run.other_versions:
        print(
            f"npylstm: the run was begun with {run.other_versions}; its numbers may differ in the "
            "last digits from those of one version",
            file=sys.stderr,
        )

    began = time.perf_counter()
    again = f"npylstm train --resume {quoted(run.folder)}"
    advice = "try a smaller --learning-rate, or --clip-norm 1"
    try:
        _train_with_bar(run)
        seconds = time.perf_counter() - began
        pictures = run.draw()
    except KeyboardInterrupt:
        print(f"stopped and saved; to go on: {again}", file=sys.stderr)
        return 130
    except FloatingPointError as error:
        print(
            f"npylstm: {error}; {run.folder} keeps the last good state; {advice}", file=sys.stderr
        )
        return 1
    except OSError as error:
        print(f"npylstm: {one_line(error)}; to go on: {again}", file=sys.stderr)
        return 1
    _summarise(run, seconds, pictures)
    if run.learned_nothing:
        loss = run.state.history[-1].train_loss
        print(f"npylstm: the loss is {loss:.4g}, worse than guessing; {advice}", file=sys.stderr)
        return 1
    return 0


def _train_with_bar(run: Run) -> None:
    from tqdm import tqdm

    done, total = run.steps
    bar = tqdm(total=total, initial=done, bar_format=_BAR, disable=None)
    bar.set_description_str(f"epoch {len(run.state.history)}/{run.settings.epochs}")

    def report(state: TrainingState) -> None:
        if state.batch == 0:
            last = state.history[-1]
            bar.set_description_str(f"epoch {last.epoch}/{run.settings.epochs}", refresh=False)
            bar.set_postfix_str(
                f"loss {last.train_loss:.4f}, accuracy {last.test_accuracy:.1%}", refresh=False
            )
        bar.update()

    with bar, threadpool_limits(run.settings.threads, user_api="blas"):
        run.train(report)


def _summarise(run: Run, seconds: float, pictures: list[Path]) -> None:
    last = run.state.history[-1]
    best = max(run.state.history, key=lambda epoch: epoch.test_accuracy)
    epochs = f"{last.epoch} epoch{'' if last.epoch == 1 else 's'}"
    weights = sum(array.size for array in run.state.params.values())
    print(
        f"{run.settings.cell}, {weights:,} weights: {epochs} of {len(run.train_set):,} "
        f"digits, {seconds:.0f} s\n"
        f"test accuracy   {last.test_accuracy:.2%} of {len(run.test_set):,} digits "
        f"(best {best.test_accuracy:.2%}, epoch {best.epoch})\n"
        f"run folder      {run.folder}\n"
        f"pictures        {', '.join(path.name for path in pictures)}"
    )


def _gradcheck(cell: str | None) -> int:
    from npylstm.analysis import check_layer

    with _input_judged():
        find_cell(cell or "lstm")
    wrong = []
    for title, layer in _gradient_cases([cell] if cell else CELL_KINDS):
        # rng=0 would put a unit of the irnn on the kink of its relu, where differences go wrong.
        report = check_layer(layer, rng=1)
        print(f"{title}\n{report}\n")
        if not report.ok:
            wrong.append(title)
    print(f"wrong: {', '.join(wrong)}" if wrong else "every gradient is right")
    return 1 if wrong else 0


def _gradient_cases(names: Iterable[str]) -> Iterator[tuple[str, Recurrent]]:
    """Yield every cell to check, by itself and on the fused path where it has one."""
    for name in names:
        kind, options = find_cell(name)
        # The truncated gradient of 1997 is not a derivative, so that cell is checked without it.
        options = {option: value for option, value in options.items() if option != "truncated"}
        cell = kind(3, 4, **options)
        yield name, Recurrent(cell, path="unroll")
        if has_kernel(cell):
            yield f"{name}, fused", Recurrent(cell)


def _fetch(dataset: str) -> int:
    from npylstm.data.fetch import fetch_mnist

    with _input_judged():
        folder = fetch_mnist()
    print(f"{dataset} is in {folder}\nto train on it: npylstm train --data {quoted(folder)}")
    return 0


def _explain(run: str | None, digit: int, out: Path) -> int:
    from tqdm import tqdm

    from npylstm.explain import RunPage

    with _input_judged():
        if out.exists():
            raise FileExistsError(f"--out: {out} exists already, and nothing is overwritten")
        if not out.parent.is_dir():
            raise ValueError(f"--out must name a file in a folder that exists, got {out}")
        plan = RunPage(run, digit)

    bars: dict[str, Option] = {}

    def report(what: str, done: int, total: int) -> None:
        bar = bars.setdefault(what, tqdm(total=total, desc=f"training: {what}", disable=None))
        bar.update(done - bar.n)

    page = plan.make(report)
    for bar in bars.values():
        bar.close()
    with _input_judged():
        page.save(out)
    print(f"page: {out}")
    return 0


def _devices() -> int:
    for name, status in available_devices().items():
        usable = "usable" if status.usable else "not usable"
        print(wrapped(f"{name}  {usable}: {status.detail}"))
    return 0


def _bench(
    size: list[list[int]] | None,
    device: str,
    threads: int | None,
    seconds: float,
    json: Path | None,
) -> int:
    from npylstm import bench

    def print_rows(timings: list[bench.Timing]) -> None:
        print(*bench.table(timings).splitlines()[1:], sep="\n", flush=True)

    with _input_judged(), bench.limited_threads(threads):
        check_number("seconds", seconds, low=0, open_low=True)
        resolve_device(device)
        if json is not None and json.exists():
            raise FileExistsError(f"{json} exists already, and nothing is overwritten")
    sizes = [bench.LayerSize(*numbers) for numbers in size] if size else None
    print(f"BLAS: {bench.kernels()}", file=sys.stderr)
    for doubt in bench.doubts():
        print(f"npylstm: {doubt}", file=sys.stderr)
    print(bench.table([]))
    timings = bench.run_bench(sizes, threads, seconds, device, print_rows)
    if json is not None:
        with _input_judged():
            write_atomically(json, bench.timings_json(timings).encode())
    return 0


def _experiment(
    name: str, full: bool, workers: int | None, out: Path | None, **changes: Option
) -> int:
    from npylstm.experiments import EXPERIMENTS

    return _study(EXPERIMENTS, "experiment", name, full, workers, out, changes)


def _figure(name: str, fast: bool, seed: int, workers: int | None, out: Path) -> int:
    from npylstm.experiments import PICTURES

    return _study(PICTURES, "figure", name, not fast, workers, out, {"seed": seed})


def _study(
    studies: Mapping[str, "Study"],
    kind: str,
    name: str,
    full: bool,
    workers: int | None,
    out: Path | None,
    changes: Mapping[str, Option],
) -> int:
    """List studies, or run one or all; of all, those are left out that are in the folder."""
    from npylstm.experiments import duration, refuse_to_overwrite

    if name == "list":
        for study in studies.values():
            print(f"{study.name:20} {study.title}")
        return 0
    with _input_judged():
        if name not in (*studies, "all"):
            near = [f"; did you mean {other}?" for other in get_close_matches(name, studies, 1)]
            raise ValueError(
                f"{kind} must be one of the names that `npylstm {kind} list` prints, or all, "
                f"got {name!r}{''.join(near)}"
            )
        if name == "all":
            chosen = [s for s in studies.values() if out is None or not _done(out, s.name)]
        else:
            chosen = [studies[name]]
            if out is not None:
                refuse_to_overwrite(out, name)
        for study in chosen:
            study.settings(full, **_taken(study, changes, name == "all"))
    with _processes(workers) as executor:
        for study in chosen:
            seconds = study.seconds(full, changes.get("seeds"))
            if seconds is not None:
                about = f"{study.name}: {duration(seconds)} on one core"
                print(about, file=sys.stderr, flush=True)
            taken = _taken(study, changes, name == "all")
            result = study.perform(out, full=full, executor=executor, **taken)
            print(study.report(result), flush=True)
            if out is not None:
                print(f"picture: {out / study.name}.png\n")
    return 0


def _done(out: Path, name: str) -> bool:
    done = (out / f"{name}.json").exists()
    if done:
        print(f"{name}: done already, in {out}", file=sys.stderr)
    return done


def _taken(study: "Study", changes: Mapping[str, Option], only_known: bool) -> dict[str, Option]:
    """Return the changes for a study; among all studies, each takes those that it knows."""
    return {k: v for k, v in changes.items() if not only_known or k in study.full}


def _processes(workers: int | None) -> contextlib.AbstractContextManager[Executor | None]:
    """Return a pool of processes, each on one thread of BLAS, or None in its place."""
    if workers is None:
        return contextlib.nullcontext()
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of BLAS
    return ProcessPoolExecutor(workers, spawn, threadpool_limits, (1, "blas"))


def _list_exercises() -> int:
    from npylstm.exercises import overview

    print(wrapped(overview()))
    return 0


def _start_exercises(folder: Path, **options: Option) -> int:
    from npylstm.exercises import start

    with _input_judged():
        paths = start(folder, **options)
    print(*paths, sep="\n")
    return 0


def _list_course() -> int:
    with _input_judged():
        print(*(path.stem for path in notebooks()), sep="\n")
    return 0


def _start_course(folder: Path) -> int:
    with _input_judged():
        print(*start_course(folder), sep="\n")
    print(f"open them with: jupyter notebook {quoted(folder)}")
    return 0


def _check_exercises(path: Path, **options: Option) -> int:
    from npylstm.exercises import check_file

    with _input_judged():
        report = check_file(path, **options)
    print(wrapped(str(report)))
    hint = options["hint"]
    if hint < 3 and any(r.hints and r.hint != r.hints[-1] for r in report.results.values()):
        print(f"To be told more of what is wrong, add --hint {hint + 1}.")
    return 0 if report.ok else 1


def _grade_exercises(
    folder: Path, out: Path, workers: int | None, json: Path | None, **options: Option
) -> int:
    from tqdm import tqdm

    from npylstm.exercises import Summary, grade, to_json

    bar = tqdm(bar_format=_BAR, disable=None)

    def progress(done: int, total: int, name: str) -> None:
        bar.total, bar.n = total, done
        bar.set_description_str(name)

    # Threads do: all that they do is wait for the processes in which submissions are run.
    pool = ThreadPoolExecutor(workers) if workers else contextlib.nullcontext()
    try:
        with _input_judged(), bar, pool as executor:
            if json is not None and json.exists():
                raise FileExistsError(f"{json} exists already, and nothing is overwritten")
            reports = grade(folder, out, executor=executor, progress=progress, **options)
            if json is not None:
                write_atomically(json, to_json(reports).encode())
    except KeyboardInterrupt:
        print("stopped; to go on, repeat the command with --resume", file=sys.stderr)
        return 130
    for report in reports:
        print(f"{report.points:6.1f} of {report.possible}  {report.name}")
    print(f"\n{Summary.of(reports)}\n")
    print(f"points for each exercise, and remarks: {out}\npicture: {out.with_suffix('.png')}")
    return 0
