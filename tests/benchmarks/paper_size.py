"""KG26's Table 3 at the paper's size: three certified stages beside the published method.

Run by hand, on one GPU with 80 GB, under eight minutes; or smaller, on a CPU, in two:

    python tests/benchmarks/paper_size.py            # writes paper_size.json, for 07
    python tests/benchmarks/paper_size.py --small    # writes paper_size_small.json

Depth 6, 107 million parameters (of 45 056 rows of the vocabulary the text uses 103: the paper's
count of parameters is met by rows that are never read), context 512, k = 8, D = 45. The weights
are trained for some hundred steps first: a trained point, not a finished model.

Each step's results are in the file as soon as they are there: a run that is cut short keeps them.
A step that fails (memory, most likely) leaves its reason there, and the next one is tried.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import paper_method
import torch
from setting import resident_megabytes, start_of_memory
from torch import Tensor
from torch.nn import functional as F

import landscape_nb as ln
from landscape_nb.figures.n07_published import STAGES
from landscape_nb.numerics.devices import normal
from landscape_nb.numerics.files import replace_files
from landscape_nb.numerics.progress import progress_bar
from landscape_nb.problems import data
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.study.evidence.stored import FOLDER

HELD = 64  # first windows of the text, in their random order: never trained on
CANDIDATES = 4  # unseen sequences that may come next
PUBLISHED_SEQUENCES = 4  # of the k that the published code builds its Hessian from
SIGMAS = (1e-4, 1e-3, 1e-2)
SEEDS = 5  # as the paper's Table 3
PAPER = {stage: seconds for stage, (_, seconds) in STAGES.items()}
SHIPPED = FOLDER / "paper_size.json"  # which notebook 07 draws
PARTS = ("value", "cross", "gradient", "curvature")


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    config: TransformerConfig
    device: str = "cpu"
    k: int = 8
    D: int = 45
    max_basis: int = 105  # vectors of N numbers: 45 GB at the paper's size
    tol: float = 1e-3
    steps: int = 600
    batch: int = 16
    learning_rate: float = 3e-4
    draws: int = 64
    memory: float = 2e10  # bytes that a graph may hold
    published_seconds: float = 120  # about as long as the published pairs may take


def paper() -> Size:
    """The paper's."""
    return Size(TransformerConfig.paper(context=512), "cuda")


def small() -> Size:
    """The same steps for one CPU: depth, k and D are the paper's, a hundredth of the parameters."""
    vocabulary = len(data.text().vocabulary)
    config = TransformerConfig(vocabulary, 128, width=128, depth=6, hidden=512)
    return Size(
        config,
        steps=60,
        learning_rate=3e-3,
        draws=16,
        memory=1e9,
        published_seconds=30,
    )


class Results(dict[str, Any]):
    """What was found so far, in a file after every step."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def keep(self, step: str, **found: Any) -> None:
        """Add a step's results; the file is replaced as a whole."""
        self[step] = found
        replace_files({self.path: f"{json.dumps(self, indent=1)}\n".encode()})
        print(step, found, flush=True)

    def attempt(self, step: str, work: Callable[[], None]) -> None:
        """Do work that keeps what it finds; keep the reason if it fails."""
        try:
            work()
        except (RuntimeError, ValueError, MemoryError) as error:
            self.keep(step, failed=f"{type(error).__name__}: {error}")


def clock(device: str) -> float:
    """Seconds: of the process on a CPU, of the wall after a GPU's work is done."""
    if device != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class Cost:
    """Seconds and peak memory of some steps of work on a device."""

    def __init__(self, device: str) -> None:
        self.device = device

    def of(self, work: Callable[[], Any], repeats: int = 1) -> tuple[Any, dict[str, float]]:
        """What comes out, and median seconds and peak megabytes."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            start_of_memory()
        seconds = []
        for _ in range(repeats):
            out = None  # of two results only one is held
            start = clock(self.device)
            out = work()
            seconds.append(clock(self.device) - start)
        cuda = self.device == "cuda"
        peak = torch.cuda.max_memory_allocated() / 1e6 if cuda else resident_megabytes("VmHWM")
        return out, {"seconds": median(seconds), "megabytes": peak}


# -- the steps -------------------------------------------------------------------------------------


def trained_loss(size: Size, progress: bool = True) -> tuple[ln.EmpiricalLoss, float]:
    """The loss of k training sequences and of unseen ones, at weights trained for some steps."""
    windows = data.sequences(data.text(), size.config.context)
    unseen, seen = windows[:HELD], windows[HELD:]
    model = DecoderTransformer(size.config).to(size.device)
    value = _train(model, seen, size, progress)
    rows = torch.cat([seen[: size.k], unseen[:CANDIDATES]]).to(size.device)
    return (
        ln.EmpiricalLoss(model, sequence_loss, rows[:, :-1], rows[:, 1:], memory=size.memory),
        value,
    )


def _train(model: DecoderTransformer, seen: Tensor, size: Size, progress: bool) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), size.learning_rate, weight_decay=0.1)
    generator, value = torch.Generator().manual_seed(0), torch.zeros(())
    # half precision for the training alone: it only has to end somewhere
    half = torch.autocast(size.device, torch.bfloat16, enabled=size.device == "cuda")
    for _ in progress_bar(range(size.steps), desc="training", unit=" steps", disable=not progress):
        batch = seen[torch.randint(len(seen), (size.batch,), generator=generator)].to(size.device)
        with half:
            logits = model(batch[:, :-1])
        value = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    model.zero_grad()
    return float(value.detach())


def one_product(loss: ln.EmpiricalLoss, size: Size, cost: Cost) -> dict[str, Any]:
    """Seconds of a gradient and of a further product with one graph."""
    H = loss.hessian_operator(loss.w0, size.k)
    v = normal(len(loss.w0), generator=draw(0)).to(loss.w0)
    H @ v
    gradient = cost.of(lambda: loss.gradient(loss.w0, size.k), 3)[1]
    return {"gradient": gradient["seconds"], **cost.of(lambda: H @ v, 3)[1]}


def stage_I(loss: ln.EmpiricalLoss, size: Size, cost: Cost) -> tuple[Tensor, dict[str, Any]]:
    """Eigenvectors, and what is said of the pairs; of doubtful ones, why they are refused."""

    def pairs() -> tuple[ln.Eigenpairs, str]:
        try:
            settings = {"tol": size.tol, "max_basis": size.max_basis}
            return ln.top_eigenpairs(loss, loss.w0, size.k, size.D, **settings), ""
        except ln.ConvergenceError as error:
            return error.pairs, str(error)

    (found, refused), spent = cost.of(pairs)
    return found.vectors, {
        **spent,
        "products": found.hvp_count,
        "residual": float(found.residuals.max() / found.values[0].abs()),
        "gap": found.gap,
        "values": found.values.tolist(),
        "certified": not refused,
        "refused": refused,
    }


def stages_II_and_III(
    loss: ln.EmpiricalLoss, U: Tensor, size: Size, cost: Cost, keep: Callable[..., None]
) -> None:
    """The increment's model, and what it makes of the criterion: closed form and Monte Carlo."""
    w, k, sigma, S = loss.w0, size.k, 1e-3, size.draws
    model, spent = cost.of(lambda: ln.increment_model(loss, w, U, k))
    keep("model", **spent)
    moment, spent = cost.of(lambda: ln.gaussian_moment(model, sigma), 50)
    keep("moment", **spent, sigma=sigma, total=float(moment.total), **parts_of(moment))
    for name, estimate in (
        ("quadratic", lambda g: ln.quadratic_mc(model, sigma, S, g).value),
        ("direct", lambda g: ln.delta2_subspace(loss, w, U, k, sigma, S, g).value),
    ):
        runs = [cost.of(lambda s=s, f=estimate: float(f(draw(s)))) for s in range(SEEDS)]
        spent = {key: median(each[key] for _, each in runs) for key in ("seconds", "megabytes")}
        keep(name, **spent, draws=S, values=[value for value, _ in runs])


def shares(loss: ln.EmpiricalLoss, U: Tensor, size: Size) -> dict[str, Any]:
    """The parts of the criterion at three sigmas, in two subspaces and in the whole space.

    The ratio of a subspace's criterion to the whole space's is KG26's Fig. 3. At the paper's size
    sigma sqrt(N), the length of a probe's step, is about 10 at sigma = 1e-3.
    """
    w, k = loss.w0, size.k
    candidates = range(k, k + CANDIDATES)
    R = ln.random_subspace(len(w), min(8, size.D), draw(0), dtype=w.dtype).to(w.device)
    found: dict[str, Any] = {}
    for name, V in ((f"top {min(16, size.D)}", U[:, :16]), (f"random {R.shape[1]}", R)):
        models = ln.next_sample_models(loss, w, V.contiguous(), k, candidates=candidates)
        found[name] = {f"{s:g}": mean_parts(ln.gaussian_moment(models, s)) for s in SIGMAS}
    whole = ln.full_space_table(
        loss, [w], [k], num_probes=6, candidates=candidates, generator=draw(1)
    )
    found["whole space"] = {f"{s:g}": mean_parts(whole.at(1, s)) for s in SIGMAS}
    for name in list(found)[:-1]:
        for s, parts in found[name].items():
            parts["ratio"] = parts["total"] / found["whole space"][s]["total"]
    return found


def published(loss: ln.EmpiricalLoss, size: Size, cost: Cost) -> dict[str, Any]:
    """Deflated power iteration with fresh graphs, on 4 of the k sequences; as many pairs as fit."""
    few = torch.linspace(0, size.k - 1, PUBLISHED_SEQUENCES).long().to(loss.w0.device)

    def product(v: Tensor) -> Tensor:
        mean = lambda w: loss.losses_at(w, few).mean()  # noqa: E731
        return paper_method.hessian_vector_product(mean, loss.w0, v)

    v = torch.ones_like(loss.w0)
    one = cost.of(lambda: product(v), 2)[1]["seconds"]
    D = max(1, min(size.D, int(size.published_seconds / (paper_method.STEPS * one))))
    found, spent = cost.of(
        lambda: paper_method.deflated_power_iteration(product, len(v), D, draw(0), like=v)
    )
    off = [
        float((product(u) - value * u).norm())
        for value, u in zip(found.values, found.vectors.unbind(1), strict=True)
    ]
    return {
        **spent,
        "pairs": D,
        "products": found.products,
        "residual": max(off) / float(found.values.max()),
        "values": found.values.tolist(),
    }


def draw(seed: int) -> torch.Generator:
    """A generator of the CPU: one seed, the same numbers on every device."""
    return torch.Generator().manual_seed(seed)


def parts_of(moment: ln.Moment) -> dict[str, float]:
    return {part: float(getattr(moment, part)) for part in PARTS}


def mean_parts(moment: Any) -> dict[str, float]:
    """Means over candidates."""
    names = ("total", *PARTS)
    return {name: float(torch.as_tensor(getattr(moment, name)).mean()) for name in names}


# -- all of it -------------------------------------------------------------------------------------


def run(size: Size, path: Path, progress: bool = True) -> Results:
    """Every step, each kept as soon as it is there."""
    found, cost = Results(path), Cost(size.device)
    found.keep("setting", **setting(size))
    (loss, value), spent = cost.of(lambda: trained_loss(size, progress))
    found.keep("training", **spent, loss=value)
    found.keep("product", **one_product(loss, size, cost))
    stages(loss, size, cost, found)
    # its vectors take the place of ours, which are gone
    found.attempt("published", lambda: found.keep("published", **published(loss, size, cost)))
    return found


def stages(loss: ln.EmpiricalLoss, size: Size, cost: Cost, found: Results) -> None:
    """The three stages, and what the parts amount to."""
    U, row = stage_I(loss, size, cost)
    found.keep("pairs", **row)
    found.attempt("model", lambda: stages_II_and_III(loss, U, size, cost, found.keep))
    found.attempt("shares", lambda: found.keep("shares", **shares(loss, U, size)))


def setting(size: Size) -> dict[str, Any]:
    """Sizes, machine and versions."""
    cuda = size.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {processor()}",
        "threads": torch.get_num_threads(),
        "torch": version("torch"),
        "date": time.strftime("%Y-%m-%d"),
        "parameters": size.config.num_params,
        "depth": size.config.depth,
        "context": size.config.context,
        "rows_used": len(data.text().vocabulary),
        "rows": size.config.vocabulary_size,
        "steps": size.steps,
        "k": size.k,
        "D": size.D,
        "tol": size.tol,
        "max_basis": size.max_basis,
    }


def processor() -> str:
    """The name of the CPU."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else "unknown"


def table(found: Mapping[str, Any]) -> str:
    """The three stages beside the paper's figures, and the parts, in Markdown; what is there."""
    at = found["setting"]
    lines = [
        f"{at['device']}, torch {at['torch']}, {at['date']}: N = {at['parameters']}, depth "
        f"{at['depth']}, context {at['context']}, k = {at['k']}, D = {at['D']}.",
        "",
        "| | seconds | KG26, Table 3 | peak MB | |",
        "|---|---|---|---|---|",
    ]
    for name, label in LABELS.items():
        if "seconds" in found.get(name, ()):
            row = found[name]
            paper = f"{PAPER[name]:g}" if name in PAPER else ""
            lines.append(
                f"| {label} | {row['seconds']:.3g} | {paper} | {row['megabytes']:.0f} "
                f"| {_remark(name, row)} |"
            )
    if "failed" not in found.get("shares", {"failed": ""}):
        lines += ["", "| | sigma | value | cross | gradient | curvature | of the whole space |"]
        lines.append("|---|---|---|---|---|---|---|")
        for name, rows in found["shares"].items():
            for s, parts in rows.items():
                each = " | ".join(f"{parts[part] / parts['total']:.2g}" for part in PARTS)
                lines.append(f"| {name} | {s} | {each} | {parts.get('ratio', 1):.2g} |")
    return "\n".join(lines)


LABELS = {
    "product": "one Hessian-vector product",
    **{stage: label for stage, (label, _) in STAGES.items()},
    "published": "I: the published method",
}


def _remark(name: str, row: Mapping[str, Any]) -> str:
    if name == "pairs":
        certified = "certified" if row["certified"] else "not certified"
        return f"{row['products']} products, residual {row['residual']:.1e}, {certified}"
    if name == "published":
        few = f"{row['pairs']} pairs of {PUBLISHED_SEQUENCES} sequences"
        return f"{few}, {row['products']} products, residual {row['residual']:.1e}"
    return f"{row['draws']} draws" if "draws" in row else ""


def main() -> None:
    """Run, and print the table; of a run that is cut short too."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--small", action="store_true", help="at a size for one CPU")
    arguments.add_argument("--out", type=Path, help="where the results go")
    given = arguments.parse_args()
    if not (given.small or torch.cuda.is_available()):
        raise SystemExit("The paper's size needs a GPU with 80 GB; --small runs on a CPU.")
    name = "paper_size_small.json" if given.small else "paper_size.json"
    path = given.out or Path(__file__).with_name(name)
    # products in true float32: the certificate would refuse any other
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if given.small:
        torch.set_num_threads(1)
    found = run(small() if given.small else paper(), path)
    if not given.small:
        replace_files({SHIPPED: path.read_bytes()})
    print("\n" + table(found))


if __name__ == "__main__":
    main()
