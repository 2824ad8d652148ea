"""Kill everything that writes files, go on, and compare: nothing lost, nothing twice.

    python tests/kills.py [--kills 200] [--seed 0] [--only sweeps] [--no-walk]

Each kind of work is ended once at every call that touches a file, and then, `--kills` times in all,
at random calls, bytes and moments (`killing.py` says how). The table that is printed counts what
was told to be finished and is not there (lost), what was done or kept twice, what no reader can
read or is neither old nor new (damaged), and what a kill left behind (litter: drafts, harmless).
The exit status is 1 if anything but litter was found.

The readers here are independent ones: json, zipfile, nbformat and bytes compared. Only where the
package's own reader must never refuse, it is asked too.
"""

import argparse
import csv
import functools
import io
import json
import math
import os
import random
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import nbformat
import sweep_cells
import torch
from killing import (
    COLUMNS,
    Fault,
    Kind,
    Outcome,
    Tell,
    Told,
    at_random,
    every_call,
    new_folder,
    undisturbed,
)
from sharded import make_loss

sys.path.append(str(Path(__file__).resolve().parent.parent / "notebooks"))
import export

import landscape_nb as ln
from landscape_nb.course import saved_work
from landscape_nb.numerics.layout import parameter_layout
from landscape_nb.problems import checkpoints, pretraining
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig
from landscape_nb.study.evidence.stored import Study
from landscape_nb.study.report import Report, Section
from landscape_nb.study.watch_file import RowsFile

LAST = 2  # versions of a file that is written again and again: 0..LAST; chosen here


def done(told: Sequence[Told], *words: str) -> list:
    """The units that were told by these words, in order."""
    return [t.unit for t in told if t.word in (words or ("done",))]


def lines_of(path: Path) -> list[bytes]:
    """Complete lines of a file; none if there is no file."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]


# -- sweeps ----------------------------------------------------------------------------------------

GRID = {"seed": [0, 1, 2], "k": [10, 20, 40]}
CELLS = [[seed, k] for seed in GRID["seed"] for k in GRID["k"]]
ALIASES = {"same": "a.jsonl", "symlink": "other/link.jsonl", "hard link": "other/hard.jsonl"}
_teller: dict = {}  # of a child that sweeps


def two_rows(seed: int, k: int) -> list[dict]:
    """What the sweeps here measure; a cell is saved when the next one begins."""
    if tell := _teller.get("tell"):
        if "cell" in _teller:
            tell("done", _teller["cell"])
        tell("began", [seed, k])
        _teller["cell"] = [seed, k]
    return [{"part": part, "value": (seed + 1) / (3 * k) + part} for part in (0, 1)]


def expected_rows(seed: int, k: int) -> list[dict]:
    """By another road than the sweep's."""
    return [
        {"seed": seed, "k": k, "part": part, "value": (seed + 1) / (3 * k) + part}
        for part in (0, 1)
    ]


def begin_sweep(folder: Path, alias: str) -> None:
    """A place for the file, and its other name."""
    (folder / "other").mkdir()
    if alias == "symlink":
        (folder / ALIASES[alias]).symlink_to(folder / "a.jsonl")
    if alias == "hard link":  # only a file that exists has one
        ln.sweep(two_rows, {"seed": [0], "k": [10]}, folder / "a.jsonl", progress=False)
        os.link(folder / "a.jsonl", folder / ALIASES[alias])


def go_on_with_sweep(
    folder: Path, told: Sequence[Told], tell: Tell, writer: int, *, alias: str, threads: int = 0
) -> None:
    """The whole sweep, by this writer's name of the file."""
    path = folder / (ALIASES[alias] if writer else "a.jsonl")
    if threads:
        with joblib.parallel_config(backend="threading"):
            ln.sweep(two_rows, GRID, path, progress=False, jobs=threads)
    else:
        _teller.update(tell=tell)
        ln.sweep(two_rows, GRID, path, progress=False)
    tell("all", CELLS)


def run_study(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """As the stored tables of the package are made."""
    _teller.update(tell=tell)
    study = Study("Does it last?", two_rows, dict, seeds=3, grid={"k": GRID["k"]})
    study.run(folder / "a.jsonl", progress=False)
    tell("all", CELLS)


def sweep_in_processes(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """With joblib's own processes; only the one that writes is killed."""
    ln.sweep(sweep_cells.measure, GRID, folder / "a.jsonl", progress=False, jobs=2)
    tell("all", CELLS)


def look_at_sweep(
    folder: Path, told: list[Told], names: Iterable[str], rows_of: Callable = expected_rows
) -> Iterator[Fault]:
    """Every cell told or ever seen is there, once, with the right rows, by every name."""
    before = [*told]
    promised = {tuple(cell) for cell in done(before, "done", "seen")}
    promised |= {tuple(cell) for cells in done(before, "all") for cell in cells}
    yield from _measured_again(before)
    for name in names:
        path = folder / name
        if not path.exists():
            if promised:
                yield Fault("lost", f"{name} is not there")
            continue
        found: list[tuple] = []
        for rows in _rows_in(path):
            cell = (rows[0]["seed"], rows[0]["k"])
            if rows != rows_of(*cell):
                yield Fault("damaged", f"{name}: cell {cell} holds other rows")
            if cell in found:
                yield Fault("twice", f"{name}: cell {cell}")
            found.append(cell)
        yield from (Fault("lost", f"{name}: cell {cell}") for cell in promised - {*found})
        told += [Told(-1, "seen", list(cell)) for cell in found if cell not in promised]
        try:
            ln.read_sweep(path)
        except ln.SweepFileError as error:
            yield Fault("damaged", f"read_sweep: {error}")


def _rows_in(path: Path) -> list[list[dict]]:
    """The rows of every complete cell, read by json or by csv."""
    content = path.read_bytes()
    if not content.startswith(b"# "):
        return [json.loads(line)["rows"] for line in lines_of(path)[1:]]
    whole = content[: content.rfind(b"# saved\n")].decode().splitlines()
    table = csv.DictReader(line for line in whole if not line.startswith("# "))
    cells: dict[tuple, list[dict]] = {}
    for row in table:
        numbers = {name: json.loads(value) for name, value in row.items()}
        cells.setdefault((row["seed"], row["k"]), []).append(numbers)
    return list(cells.values())


def _measured_again(told: Sequence[Told]) -> Iterator[Fault]:
    """A cell that is finished is never measured again; "began" and "done" come in their order."""
    finished: set[tuple] = set()
    seen: set[tuple] = set()  # during a run, perhaps before it was read that the cell began
    for t in told:
        if t.word == "run":
            finished |= seen
        elif t.word in ("done", "seen"):
            (finished if t.word == "done" else seen).add(tuple(t.unit))
        elif t.word == "began" and tuple(t.unit) in finished:
            yield Fault("twice", f"cell {t.unit} was measured again")


def finish_sweep(folder: Path, told: list[Told]) -> Iterator[Fault]:
    """At the end every cell was told, and `look_at_sweep` has found it."""
    if not done(told, "all"):
        yield Fault("lost", "the sweep was never finished")


def begin_csv(folder: Path) -> None:
    """A sweep's file of before, five cells long, with a sixth that was cut off."""
    with new_folder() as elsewhere:
        ln.sweep(two_rows, {"seed": [0], "k": [10]}, elsewhere / "a.jsonl", progress=False)
        settings = json.loads(lines_of(elsewhere / "a.jsonl")[0])["settings"]
    text = io.StringIO(newline="")
    text.write(f"# settings {json.dumps(settings)}\nseed,k,part,value\n")
    for cell in CELLS[:6]:
        csv.DictWriter(text, ["seed", "k", "part", "value"], lineterminator="\n").writerows(
            expected_rows(*cell)
        )
        text.write("# saved\n")
    (folder / "a.jsonl").write_text(text.getvalue()[:-12])
    (folder / "other").mkdir()
    (folder / ALIASES["symlink"]).symlink_to(folder / "a.jsonl")


def sweeps(alias: str, begin: Callable | None = None, threads: int = 0) -> Kind:
    """Two writers of one file, by one name or by two."""
    names = {"a.jsonl", ALIASES[alias]}
    return Kind(
        begin=begin or named(begin_sweep, alias=alias),
        work=named(go_on_with_sweep, alias=alias, threads=threads),
        look=named(look_at_sweep, names=sorted(names)),
        finish=finish_sweep,
        known=("*.jsonl", "*.lock"),
        writers=2,
        refusal=ln.SweepFileError,
    )


def named(function: Callable, **arguments: object) -> Callable:
    """A partial that keeps the function's name, which is printed."""
    made = functools.partial(function, **arguments)
    functools.update_wrapper(made, function)
    return made


# -- watches ---------------------------------------------------------------------------------------


def append_rows(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """Rows into a watch's file, by both of its names."""
    path = folder / (ALIASES["symlink"] if writer else "a.jsonl")
    file = RowsFile(path, {"of": "kills"})
    for call in range(len(file.rows) + 1, 13):
        tell("began", call)
        file.append({"call": call, "value": call / 3})
        tell("done", call)
    file.close()


def watch_training(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """A real `Watch`, called as a training loop calls it."""
    torch.set_num_threads(1)
    loss = make_loss()
    watch = ln.Watch(loss, 8, folder / "a.jsonl", every=1, live=False)
    for call in range(watch.calls + 1, 6):
        tell("began", call)
        watch(loss.model)
        tell("done", call)
    watch.close()


def begin_watch(folder: Path) -> None:
    """As for a sweep; what PyTorch imports at its first training step is imported before a fork."""
    begin_sweep(folder, "symlink")
    _first_watch()


@functools.cache
def _first_watch() -> None:
    with new_folder() as folder:
        watch_training(folder, [], lambda word, unit: None, 0)


def look_at_watch(folder: Path, told: list[Told], last: int) -> Iterator[Fault]:
    """Rows 1, 2, 3, ... each once."""
    before = [*told]
    path = folder / "a.jsonl"
    calls = [json.loads(line)["call"] for line in lines_of(path)[1:]]
    promised = max(done(before, "done", "seen"), default=0)
    if len(calls) < promised:
        yield Fault("lost", f"rows {calls} of {promised}")
    if calls != list(range(1, len(calls) + 1)) or len(calls) > last:
        yield Fault("twice", f"rows {calls}")
    if lines_of(path):
        told.append(Told(-1, "seen", len(calls)))
        try:
            ln.read_watch(path)
        except ln.WatchFileError as error:
            yield Fault("damaged", f"read_watch: {error}")


def finish_watch(folder: Path, told: list[Told], last: int) -> Iterator[Fault]:
    if (there := len(lines_of(folder / "a.jsonl")) - 1) != last:
        yield Fault("lost", f"{there} of {last} rows at the end")


def watches(work: Callable, last: int) -> Kind:
    """Two writers of one file of rows."""
    return Kind(
        begin=begin_watch,
        work=work,
        look=named(look_at_watch, last=last),
        finish=named(finish_watch, last=last),
        known=("*.jsonl", "*.lock"),
        writers=2,
        refusal=ln.WatchFileError,
    )


# -- one file, written again and again -------------------------------------------------------------


def write_versions(
    folder: Path, told: Sequence[Told], tell: Tell, writer: int, write: Callable
) -> None:
    """Write the versions that are not written yet, one after the other."""
    for version in range(max(done(told), default=-1) + 1, LAST + 1):
        tell("began", version)
        write(folder, version)
        tell("done", version)


def look_at_version(folder: Path, told: list[Told], versions: Callable) -> Iterator[Fault]:
    """The file is one whole version, not older than the last that was told to be written."""
    path, newest = folder / "a.out", max(done(told), default=-1)
    if not path.exists():
        if newest >= 0:
            yield Fault("lost", "the file is gone")
        return
    content = path.read_bytes()
    if content not in versions():
        yield Fault("damaged", f"{len(content)} bytes are no version of the file")
    elif versions().index(content) < newest:
        yield Fault("lost", f"version {versions().index(content)} stands where {newest} was")


def one_file(write: Callable, versions: Callable) -> Kind:
    """A file that is replaced as a whole."""
    return Kind(
        begin=lambda folder: versions(),  # made once, before the first child is forked
        work=named(write_versions, write=write),
        look=named(look_at_version, versions=versions),
        finish=nothing_more,
        known=("a.out",),
    )


def nothing_more(folder: Path, told: list[Told]) -> Iterator[Fault]:
    yield from ()


@functools.cache
def pages() -> list[Report]:
    """Reports that differ in their sentences, their lengths and their pictures."""
    return [
        Report(
            None,  # the numbers behind a page are not written
            (
                Section(f"Version {v}", (f"This is version {v}. " * (1 + v % 2),)),
                Section("A picture", (), (), (bytes([v]) * 20_000 * (1 + v % 2), "grey")),
            ),
        )
        for v in range(LAST + 1)
    ]


@functools.cache
def pages_in_bytes() -> list[bytes]:
    return [page.html().encode() for page in pages()]


def save_report(folder: Path, version: int) -> None:
    pages()[version].save(folder / "a.out")


@functools.cache
def runs() -> list[list[checkpoints.TrainingRun]]:
    """Checkpoints of a transformer of a few numbers, which nobody has trained."""
    config = TransformerConfig(
        vocabulary_size=5, context=4, width=4, depth=1, heads=1, kv_heads=1, hidden=4
    )
    g = torch.Generator().manual_seed(0)
    sequences = torch.randint(5, (6, 5), generator=g)
    weights = parameter_layout(DecoderTransformer(config, generator=g))[1].half().float()
    return [
        [
            checkpoints.TrainingRun(
                config, "abcde", sequences, [2] * (1 + v % 2), list(range(1, 2 + v % 2)),
                torch.stack([(weights + v).half().float()] * (1 + v % 2)), seed=v,
            )
        ]
        for v in range(LAST + 1)
    ]  # fmt: skip


@functools.cache
def runs_in_bytes() -> list[bytes]:
    with new_folder() as folder:
        for version in range(LAST + 1):
            checkpoints.save_runs(folder / str(version), runs()[version])
        return [(folder / str(version)).read_bytes() for version in range(LAST + 1)]


def save_checkpoint(folder: Path, version: int) -> None:
    checkpoints.save_runs(folder / "a.out", runs()[version])


def use_cache(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """`pretrained` without the shipped file: it trains, and keeps the runs for next time."""
    os.environ["XDG_CACHE_HOME"] = str(folder)
    pretraining._train_all = lambda progress: runs()[0]
    # once more in any case: on a full disk it warns and goes on without, all three times
    for round_ in range(min(len(done(told)), 2), 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pretraining.pretrained(folder / "none", progress=False)
        tell("done", round_)


def look_at_cache(folder: Path, told: list[Told]) -> Iterator[Fault]:
    path = folder / "landscape_nb" / pretraining.SHIPPED.name
    if path.exists() and path.read_bytes() != runs_in_bytes()[0]:
        yield Fault("damaged", "the cache is no whole file")


def finish_cache(folder: Path, told: list[Told]) -> Iterator[Fault]:
    if not (folder / "landscape_nb" / pretraining.SHIPPED.name).exists():
        yield Fault("lost", "the cache was not kept")


# -- a learner's work ------------------------------------------------------------------------------

STUB = "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"
NOTEBOOKS = {
    "01_toy": ("answer-slope", "answer-1", "answer-2"),
    "02_next": ("manual-1",),
}
TAGS = [(name, tag) for name, tags in NOTEBOOKS.items() for tag in tags]


def text_of(name: str, tag: str, version: int) -> str:
    """What the learner has written; long enough that a write can be cut."""
    return f"# {name} {tag}\n" + "# a thought\n" * (40 * (version % 2)) + f"version = {version}"


def version_of(text: str) -> int | None:
    """The version of a whole text, None for anything else."""
    last = text.rsplit("version = ", 1)[-1]
    fits = last.isdigit() and any(text == text_of(*tag, int(last)) for tag in TAGS)
    return int(last) if fits else None


def answered(version: int) -> list[tuple[str, str]]:
    """In some versions the learner has taken an answer back."""
    return [t for t in TAGS if t != ("01_toy", "answer-2") or version != 1]


def learner_writes(folder: Path, version: int, known: Sequence[tuple[str, str]]) -> None:
    """What JupyterLab's own saving does, for each notebook in one step."""
    for name, tags in NOTEBOOKS.items():
        cells = [_cell("first", "import torch", {})]
        for tag in tags:
            text = text_of(name, tag, version) if (name, tag) in known else STUB
            metadata = {"tags": [tag], "given": saved_work.digest(STUB)}
            cells.append(_cell(tag, text, metadata))
        notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        draft = folder / f"{name}.of-the-learner"
        draft.write_text(json.dumps(notebook))
        os.replace(draft, os.path.realpath(folder / f"{name}.ipynb"))


def _cell(tag: str, text: str, metadata: dict) -> dict:
    cell = {"id": tag, "source": text, "metadata": metadata, "cell_type": "markdown"}
    if tag.startswith("manual"):
        return cell
    return cell | {"cell_type": "code", "execution_count": None, "outputs": []}


def save_work(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """The learner writes and saves; a second kernel only saves."""
    for version in range(max(done(told), default=-1) + 1, LAST + 1):
        if writer == 0:
            tell("began", version)
            learner_writes(folder, version, answered(version))
        saved_work.save(folder)
        if writer == 0:
            tell("done", version)


def entries(path: Path) -> dict[tuple[str, str], int | None]:
    """(notebook, tag) -> the version that a zip holds."""
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("a wrong checksum")
        return {
            tuple(name.rsplit(".", 1)[0].split("/")): version_of(archive.read(name).decode())
            for name in archive.namelist()
        }


def _zips(folder: Path, pattern: str) -> tuple[dict[str, dict], list[Fault]]:
    """What the zips hold, and which of them are none."""
    found: dict[str, dict] = {}
    faults = []
    for path in sorted(folder.glob(pattern)):
        try:
            found[path.name] = entries(path)
            if None in found[path.name].values():
                faults.append(Fault("damaged", f"{path.name} holds what nobody wrote"))
        except (zipfile.BadZipFile, EOFError) as error:
            faults.append(Fault("damaged", f"{path.name}: {error}"))
    return found, faults


def look_at_saves(folder: Path, told: list[Told], kernels: int) -> Iterator[Fault]:
    """my_work.zip is one whole save, the last or a later one."""
    newest = max(done(told), default=-1)
    found, faults = _zips(folder, "my_work*.zip")
    yield from faults
    if "my_work.zip" not in found:
        if newest >= 0 and not faults:
            yield Fault("lost", "my_work.zip is gone")
        return
    if kernels == 1 and not faults:
        versions = {*found["my_work.zip"].values()}
        if len(versions) > 1 or [*found["my_work.zip"]] != sorted(answered(max(versions))):
            yield Fault("damaged", f"my_work.zip is no save: versions {versions}")
        elif max(versions) < newest:
            yield Fault("lost", f"my_work.zip holds version {versions} after {newest} was saved")
        yield from _lost_answers(found, told)


def _lost_answers(found: dict[str, dict], told: Sequence[Told]) -> Iterator[Fault]:
    """An answer that was once saved is in some zip, as it was then or newer."""
    last = {tag: version for version in done(told) for tag in answered(version)}
    for tag, version in last.items():
        kept = [zipped[tag] for zipped in found.values() if zipped.get(tag) is not None]
        if max(kept, default=-1) < version:
            yield Fault("lost", f"{tag} of version {version} is in no zip")


def finish_saves(folder: Path, told: list[Told]) -> Iterator[Fault]:
    """What the notebooks hold is saved, with several kernels after one more click."""
    saved_work.save(folder)
    found, _ = _zips(folder, "my_work*.zip")
    if {*found["my_work.zip"].values()} != {LAST}:
        yield Fault("lost", "the last version is not in my_work.zip")
    yield from _lost_answers(found, told)


def saves(kernels: int) -> Kind:
    """Save my work, while the answers change."""
    return Kind(
        begin=nothing_there,
        work=save_work,
        look=named(look_at_saves, kernels=kernels),
        finish=finish_saves,
        known=("*.ipynb", "my_work*.zip", "*.of-the-learner"),
        writers=kernels,
    )


def nothing_there(folder: Path) -> None:
    """An empty folder."""


MODE = 0o640


def begin_restore(folder: Path) -> None:
    """Notebooks of version 0; one is a symbolic link, one has a mode of its own."""
    (folder / "disk").mkdir()
    (folder / "disk" / "kept.ipynb").touch()
    (folder / "02_next.ipynb").symlink_to(folder / "disk" / "kept.ipynb")
    learner_writes(folder, 0, TAGS)
    (folder / "01_toy.ipynb").chmod(MODE)


def restore_work(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """Restore version after version; a second kernel does the same."""
    os.environ["JUPYTER_DATA_DIR"] = str(folder / "jupyter")  # of signatures, if any are made
    mine = [t.unit for t in told if t.word == "done" and t.writer == writer]
    for version in range(max(mine, default=0) + 1, LAST + 1):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, tag in TAGS:
                suffix = "md" if tag.startswith("manual") else "py"
                archive.writestr(f"{name}/{tag}.{suffix}", text_of(name, tag, version))
        tell("began", version)
        saved_work.restore(buffer.getvalue(), folder)
        tell("done", version)


def look_at_restored(folder: Path, told: list[Told], kernels: int) -> Iterator[Fault]:
    """Each notebook is of one version, and what it replaced is in a backup."""
    newest = max(done(told), default=0)
    notebooks = {}
    for name, tags in NOTEBOOKS.items():
        try:
            notebook = json.loads((folder / f"{name}.ipynb").read_text("utf-8"))
            first, *own = ["".join(cell["source"]) for cell in notebook["cells"]]
        except (ValueError, OSError, KeyError) as error:
            yield Fault("damaged", f"{name}: {type(error).__name__}")
            continue
        versions = {version_of(text) for text in own}
        if first != "import torch" or len(own) != len(tags) or len(versions) > 1:
            yield Fault("damaged", f"{name} is of versions {versions}")
        elif None not in versions:
            notebooks[name] = max(versions)
    # read after the notebooks: backups come first
    backups, faults = _zips(folder, "my_work_before*.zip")
    yield from faults
    for name, version in notebooks.items():
        if kernels == 1 and version < newest:
            yield Fault("lost", f"{name} is of version {version} after {newest} was restored")
        # a version may be passed over only where another kernel restores at once
        for replaced in range(version if kernels == 1 else min(version, 1)):
            tags = [tag for tag in TAGS if tag[0] == name]
            if not any(
                [b.get(t) for t in tags] == [replaced] * len(tags) for b in backups.values()
            ):
                yield Fault("lost", f"no backup of {name} holds the replaced version {replaced}")


def finish_restores(folder: Path, told: list[Told]) -> Iterator[Fault]:
    """All is of the last version, with mode and symbolic link as they were."""
    for name in NOTEBOOKS:
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        if {version_of(cell.source) for cell in notebook.cells[1:]} != {LAST}:
            yield Fault("lost", f"{name} was not restored at the end")
    if (folder / "01_toy.ipynb").stat().st_mode & 0o777 != MODE:
        yield Fault("damaged", "the mode of 01_toy.ipynb is another")
    if not (folder / "02_next.ipynb").is_symlink():
        yield Fault("damaged", "02_next.ipynb is no symbolic link any more")


def restores(kernels: int) -> Kind:
    """Restore my work."""
    return Kind(
        begin=begin_restore,
        work=restore_work,
        look=named(look_at_restored, kernels=kernels),
        finish=finish_restores,
        known=("*.ipynb", "my_work*.zip", "*.of-the-learner", "jupyter/*"),
        writers=kernels,
    )


# -- exports ---------------------------------------------------------------------------------------

MINE = {"out/thesis.txt": b"of the user", "out/pages/mine.html": b"also", "thesis.txt": b"outside"}


def site(version: int) -> dict[str, bytes]:
    """A small site; some of its files come and go."""
    texts = {"index.html": 5000, "pages/a.html": 90}
    files = {name: f"{name} {version}\n".encode() * (size // 10) for name, size in texts.items()}
    picture = {f"pictures/{version}.png": b"\x89PNG" + bytes([version]) * 3000}
    return files | picture | ({"pages/odd.html": b"odd"} if version % 2 else {})


def export_sites(folder: Path, told: Sequence[Told], tell: Tell, writer: int) -> None:
    """Export version after version; after the first the user puts files of his own beside them."""
    for version in range(max(done(told), default=-1) + 1, LAST + 1):
        tell("began", version)
        export.write(site(version), folder / "out")
        tell("done", version)
        if not done(told, "mine") and version == 0:
            for name, content in MINE.items():
                (folder / name).write_bytes(content)
            tell("mine", 0)


def look_at_site(folder: Path, told: list[Told]) -> Iterator[Fault]:
    """Each file is of one version, none of the last export's is missing, the user's are there."""
    newest = max(done(told), default=-1)
    out, mine = folder / "out", bool(done(told, "mine"))
    for name, content in MINE.items() if mine else ():
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            yield Fault("lost", f"{name} of the user")
    kept = set.intersection(*(set(site(v)) for v in range(max(newest, 0), LAST + 1)))
    for name in kept if newest >= 0 else ():
        if not (out / name).exists():
            yield Fault("lost", f"{name} is gone")
    for name in {name for v in range(LAST + 1) for name in site(v)}:
        try:
            content = (out / name).read_bytes()
        except FileNotFoundError:
            continue
        versions = [v for v in range(LAST + 1) if site(v).get(name) == content]
        if not versions:
            yield Fault("damaged", f"{name} is of no version")
        elif name in kept and max(versions) < newest:
            yield Fault("lost", f"{name} is older than version {newest}")


def finish_site(folder: Path, told: list[Told]) -> Iterator[Fault]:
    """The last export left exactly its files."""
    names = {path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*")}
    for name in {name for v in range(LAST + 1) for name in site(v)}:
        if (name in names) != (name in site(LAST)):
            yield Fault("damaged", f"{name} {'is left' if name in names else 'is missing'}")


# -- the table -------------------------------------------------------------------------------------

KINDS: dict[str, Kind] = {
    "sweeps, two writers": sweeps("same"),
    "sweeps, symlink": sweeps("symlink"),
    "sweeps, hard link": sweeps("hard link"),
    "sweeps, threads": sweeps("symlink", threads=2),
    "sweeps, old CSV": sweeps("symlink", begin_csv),
    "sweeps, processes": replace(
        sweeps("same"),
        work=sweep_in_processes,
        look=named(
            look_at_sweep,
            names=["a.jsonl"],
            rows_of=lambda seed, k: [
                {"seed": seed, "k": k, **row} for row in sweep_cells.measure(seed, k)
            ],
        ),
        writers=1,
        patient=True,
    ),
    "evidence tables": replace(sweeps("same"), work=run_study),
    "watch files": watches(append_rows, 12),
    "watches": watches(watch_training, 5),
    "saves": saves(1),
    "saves, two kernels": saves(2),
    "restores": restores(1),
    "restores, two kernels": restores(2),
    "reports": one_file(save_report, pages_in_bytes),
    "checkpoints": one_file(save_checkpoint, runs_in_bytes),
    "cache": Kind(
        lambda folder: runs_in_bytes(),
        use_cache,
        look_at_cache,
        finish_cache,
        (pretraining.SHIPPED.name,),
    ),
    "exports": Kind(
        nothing_there,
        export_sites,
        look_at_site,
        finish_site,
        ("*.html", "*.css", "*.png", "thesis.txt", export.MANIFEST),
    ),
}
FEW = 3  # kills of a kind whose runs take seconds; chosen here


def killed(name: str, kills: int, dice: random.Random, walk: bool = True) -> Outcome:
    """Kill one kind of work at every call that touches a file, and so often at random."""
    kind, outcome = KINDS[name], Outcome()
    undisturbed(kind, outcome)
    if walk and not kind.patient:
        every_call(kind, outcome)
    at_random(kind, outcome, dice, min(kills, FEW) if kind.patient else kills)
    return outcome


HEADS = ("kind", "calls", "kills", *COLUMNS)


def row(name: str, outcome: Outcome) -> tuple:
    """A line of the table: one kind."""
    return (name, outcome.calls, outcome.kills, *(outcome.counts[head] for head in COLUMNS))


def show(cells: Sequence) -> None:
    """Print a line of the table."""
    print(f"{cells[0]:24}" + "".join(f"{cell:>9}" for cell in cells[1:]), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, print the table and the first words of each fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="at random, over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose names hold this")
    parser.add_argument("--no-walk", action="store_true", help="at random only")
    chosen = parser.parse_args(arguments)
    names = [name for name in KINDS if chosen.only in name]
    if not names:
        parser.error(f"--only must be part of one of {', '.join(KINDS)}; got {chosen.only!r}")
    started = time.monotonic()
    share = math.ceil(chosen.kills / len(names))
    show(HEADS)
    outcomes, rows = {}, []
    for name in names:
        dice = random.Random(f"{chosen.seed} {name}")
        outcomes[name] = killed(name, share, dice, not chosen.no_walk)
        rows.append(row(name, outcomes[name]))
        show(rows[-1])
    show(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    for name, outcome in outcomes.items():
        for words in list(dict.fromkeys(outcome.words))[:10]:
            print(f"{name}: {words}")
    print(f"{time.monotonic() - started:.0f} s")
    return int(any(outcome.faults for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
