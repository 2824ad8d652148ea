"""What watching a training costs: seconds of the process in the watch over those in the steps.

Three models on one thread, Adam, the watch as it is by default, with a file, and once more with the
picture drawn as in a notebook. The steps are timed in the same run, so that both share whatever
slows the machine; what the watch leaves behind in caches is not seen by that.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import landscape_nb as ln
from landscape_nb.figures import watching
from landscape_nb.problems.models import DecoderTransformer, TransformerConfig, sequence_loss
from landscape_nb.study import watch as study_watch

torch.set_num_threads(1)
pictures = []
watching.display = lambda *args, **named: pictures.append(1)  # drawn, and shown to nobody
cross_entropy = nn.CrossEntropyLoss(reduction="none")


def mlp():
    x, y = ln.data.digits()[:2]
    return ln.models.MLP([64, 32, 10]), cross_entropy, x, y, 1200, 32


def cnn():
    x, y = ln.data.digits()[:2]
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    return model, cross_entropy, x.float().view(-1, 1, 8, 8), y, 1200, 32


def transformer():
    text = ln.data.text()
    rows = ln.data.sequences(text, 32)[:600]
    model = DecoderTransformer(TransformerConfig(len(text.vocabulary)))
    return model, sequence_loss, rows[:, :-1], rows[:, 1:], 400, 16


def wide():
    """Another size, precision and batch: the counts were not fitted to it."""
    x, y = ln.data.digits()[:2]
    model = ln.models.MLP([64, 256, 256, 10], nn.ReLU, dtype=torch.float32)
    return model, cross_entropy, x.float(), y, 900, 64


def narrow():
    """Shorter sequences, smaller batches, another shape."""
    text = ln.data.text()
    rows = ln.data.sequences(text, 16)[:900]
    config = TransformerConfig(len(text.vocabulary), width=32, depth=1, heads=2, kv_heads=1)
    return DecoderTransformer(config), sequence_loss, rows[:, :-1], rows[:, 1:], 600, 8


def normed():
    """Layer norms and GELU in small batches: the counts were not fitted to it."""
    torch.manual_seed(0)
    x, y = ln.data.digits()[:2]
    layers = [nn.Linear(64, 48)]
    for _ in range(3):
        layers += [nn.LayerNorm(48), nn.GELU(), nn.Linear(48, 48)]
    model = nn.Sequential(*layers, nn.GELU(), nn.Linear(48, 10)).double()
    return model, cross_entropy, x, y, 1000, 16


def train(make, steps, live=False):
    """Seconds of the process in the steps and in the watch, and the watch."""
    model, loss_fn, x, y, k, batch_size = make()
    loss = ln.EmpiricalLoss(model.eval(), loss_fn, x, y)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    drawn = torch.Generator().manual_seed(0)
    study_watch.in_notebook = lambda: live
    with tempfile.TemporaryDirectory() as folder:
        watch = ln.Watch(loss, k, Path(folder) / "w.jsonl", batch_size=batch_size)
        start, inside = time.process_time(), 0.0
        for _ in range(steps):
            chosen = torch.randint(k, (batch_size,), generator=drawn)
            optimizer.zero_grad()
            loss_fn(model(x[chosen]), y[chosen]).mean().backward()
            optimizer.step()
            before = time.process_time()
            watch(model)
            inside += time.process_time() - before
        watch.close()
    return time.process_time() - start - inside, inside, watch


CASES = {
    "mlp": (mlp, 60_000),
    "cnn": (cnn, 30_000),
    "transformer": (transformer, 12_000),
    "wide": (wide, 20_000),
    "narrow": (narrow, 15_000),
    "normed": (normed, 30_000),
}


def main(names, rounds=3):
    print("| model | N | steps | ms a step | rows, curvature, pictures | counted | measured |")
    print("|---|---|---|---|---|---|---|")
    for name in names or CASES:
        make, steps = CASES[name]
        for live in (False, True):
            pictures.clear()
            found = [train(make, steps, live) for _ in range(rounds)]
            shares = [inside / outside for outside, inside, _ in found]
            watch, seconds = found[-1][2], statistics.median(outside for outside, _, _ in found)
            drawn = len(pictures) // rounds
            full = sum(row["lambda_1"] is not None for row in watch.rows)
            print(
                f"| {name}{', drawn' if live else ''} | {watch.loss.num_params} | {steps} | "
                f"{1e3 * seconds / steps:.2f} | {len(watch.rows)}, {full}, {drawn} | "
                f"{watch.rows[-1]['share']:.1%} | {statistics.median(shares):.1%} "
                f"({min(shares):.1%} to {max(shares):.1%}) |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
