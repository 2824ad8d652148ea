"""Memory and work of a streamed loss, which must not grow with the number of samples.

Run by hand: python tests/benchmarks/streamed.py            # one to two minutes; needs Linux

The samples are made on the fly, a batch at a time, so that nothing but the loss could keep them.
Each row is a process of its own; seconds are its own. Memory is the peak above what was resident
before. Last line: streamed against in memory, the same batches, rounds interleaved.
"""

import sys
import time

import torch
from setting import in_own_process, measured, ratio, versions
from torch import nn

import landscape_nb as ln

BATCH, WIDTHS, ROUNDS = 1000, [20, 16, 2], 5
SIZES = [10_000, 100_000, 1_000_000]
cross_entropy = nn.CrossEntropyLoss(reduction="none")


class Made:
    """Batches of n samples, made anew in every pass."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self):
        for number in range(self.n // BATCH):
            x = torch.randn(BATCH, WIDTHS[0], generator=torch.Generator().manual_seed(number))
            yield x, (x[:, 0] * x[:, 1] > 0).long()


def model() -> nn.Module:
    torch.manual_seed(0)
    return ln.models.MLP(WIDTHS).float()


def streamed(n: int) -> list[float]:
    """MB and seconds of building the loss, and of one Hessian-vector product."""
    warm = ln.EmpiricalLoss.from_batches(model(), cross_entropy, Made(2 * BATCH))
    warm.hvp(warm.w0, warm.w0, 2 * BATCH)
    building = measured(lambda: ln.EmpiricalLoss.from_batches(model(), cross_entropy, Made(n)))
    loss = building.out
    product = measured(lambda: loss.hvp(loss.w0, loss.w0, n))
    return [building.megabytes, product.megabytes, building.seconds, product.seconds]


def against_memory(n: int) -> float:
    """Seconds of a product, streamed from a list of batches, over those from memory."""
    data = [torch.cat(part) for part in zip(*Made(n), strict=True)]
    batches = [*zip(*(part.split(BATCH) for part in data), strict=True)]
    losses = (
        ln.EmpiricalLoss.from_batches(model(), cross_entropy, batches),
        ln.EmpiricalLoss(model(), cross_entropy, *data, batch_size=BATCH),
    )
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for loss, found in zip(losses, seconds, strict=True):
            start = time.process_time()
            loss.hvp(loss.w0, loss.w0, n)
            found.append(time.process_time() - start)
    return ratio(*seconds)


def main() -> None:
    """The table."""
    print(versions("torch"))
    print(f"MLP {WIDTHS}, float32, batches of {BATCH} made on the fly, one thread\n")
    print("| n | MB of all samples | building: MB | s | a product: MB | s |")
    print("|---|---|---|---|---|---|")
    for n in [int(size) for size in sys.argv[1:]] or SIZES:
        mb, product_mb, s, product_s = in_own_process(streamed, n)
        size = 1e-6 * n * (4 * WIDTHS[0] + 8)
        print(f"| {n} | {size:.1f} | {mb:.1f} | {s:.2f} | {product_mb:.1f} | {product_s:.2f} |")
    found = in_own_process(against_memory, 100_000)
    print(f"\nA product over 100000 samples, streamed / in memory: {found:.2f}")


if __name__ == "__main__":
    main()
