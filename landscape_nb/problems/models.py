"""The networks of the notebooks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape_nb.numerics import checks

__all__ = ["MLP", "DecoderTransformer", "TransformerConfig", "blank", "sequence_loss"]


class MLP(nn.Sequential):
    """A fully connected network: Linear, activation, ..., Linear.

    Args:
        widths: sizes of all layers, inputs first, outputs last.
        activation: constructor of the nonlinearity. tanh is smooth; ReLU has kinks, at which
            second derivatives do not exist (Hessian-vector products ignore them).
        bias: whether layers have a bias.
        generator: draws the weights; None means seed 0. Uniform in +-1/sqrt(fan in), PyTorch's
            own default for Linear layers.
        dtype: float64 by default: curvature of small increments needs the digits.

    >>> model = MLP([64, 16, 10])
    >>> sum(p.numel() for p in model.parameters())
    1210
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Callable[[], nn.Module] = nn.Tanh,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if len(widths) < 2 or any(
            isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in widths
        ):
            raise ValueError(
                "widths must name at least inputs and outputs, all positive whole numbers; got "
                f"{checks.shown(list(widths))}. For example [64, 16, 10]."
            )
        checks.real_dtype("dtype", dtype)
        generator = generator or torch.Generator().manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            linear = blank(nn.Linear, fan_in, fan_out, bias=bias, dtype=dtype)
            with torch.no_grad():
                for p in linear.parameters():
                    p.copy_(_uniform(p, fan_in**-0.5, generator))
            layers += [linear, activation()]
        super().__init__(*layers[:-1])


def blank(kind: type[nn.Module], *sizes: int, **settings: Any) -> Any:
    """A layer whose parameters are still to be filled: nothing is drawn for them.

    The global random state is nobody's business here. `torch.nn.utils.skip_init` does the same,
    but what it calls loads TorchDynamo: half a second, and 40 MB that never come back.

    >>> blank(nn.Linear, 3, 2, bias=False).weight.shape
    torch.Size([2, 3])
    """
    silent = type(kind.__name__, (kind,), {"reset_parameters": lambda self: None})
    layer = silent(*sizes, **settings)
    layer.__class__ = kind
    return layer


def _uniform(like: Tensor, bound: float, generator: torch.Generator) -> Tensor:
    draw = torch.rand(like.shape, generator=generator, dtype=torch.float64)
    return ((2 * draw - 1) * bound).to(like)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a `DecoderTransformer`.

    Attributes:
        vocabulary_size: V, number of different tokens.
        context: largest number of tokens in a sequence.
        width: length of the vector that represents one token.
        depth: number of blocks.
        heads: query heads; each has width / heads components.
        kv_heads: key and value heads, each shared by heads / kv_heads query heads.
        hidden: width of the MLP's hidden layer.
        tied: whether the head that predicts tokens reuses the embedding matrix.
        rope_base: base of the rotary frequencies (10 000: RoFormer, arXiv 2104.09864).

    Raises:
        ValueError: a size that is not a positive whole number, or sizes that don't fit together.

    >>> TransformerConfig(vocabulary_size=103).num_params
    103296
    """

    vocabulary_size: int
    context: int = 64
    width: int = 64
    depth: int = 2
    heads: int = 4
    kv_heads: int = 2
    hidden: int = 256
    tied: bool = False
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        for name, low, meaning in (
            ("vocabulary_size", 2, "number of different tokens"),
            ("context", 1, "largest number of tokens in a sequence"),
            ("width", 2, "length of a token's vector"),
            ("depth", 1, "number of blocks"),
            ("heads", 1, "query heads"),
            ("kv_heads", 1, "key and value heads"),
            ("hidden", 1, "width of the MLP's hidden layer"),
        ):
            checks.whole_number(name, getattr(self, name), low, None, meaning)
        if not isinstance(self.tied, bool):
            raise ValueError(f"tied must be True or False; got {self.tied!r}.")
        checks.positive("rope_base", self.rope_base, "base of the rotary frequencies")
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads, because the heads share it equally; got width "
                f"= {self.width}, heads = {self.heads}. For example width = "
                f"{self.heads * 2 * max(1, round(self.width / self.heads / 2))}."
            )
        if self.head_width % 2:
            raise ValueError(
                "width / heads must be even, because rotary positions turn pairs of components; "
                f"got {self.width} / {self.heads} = {self.head_width}. For example width = "
                f"{self.width + self.heads}."
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                "heads must be a multiple of kv_heads, because every key and value head serves as "
                f"many query heads as any other; got heads = {self.heads}, kv_heads = "
                f"{self.kv_heads}. kv_heads = {self.heads} is ordinary attention."
            )

    @property
    def head_width(self) -> int:
        """Components of one head."""
        return self.width // self.heads

    @property
    def num_params(self) -> int:
        """N, the number of parameters."""
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_width
        tables = (1 if self.tied else 2) * self.vocabulary_size * self.width
        return tables + self.depth * (attention + 2 * self.width * self.hidden)

    @classmethod
    def laptop(cls, vocabulary_size: int) -> "TransformerConfig":
        """About 100 000 parameters, for one character per token; every size is chosen here.

        >>> TransformerConfig.laptop(103).num_params
        103296
        """
        return cls(vocabulary_size)

    @classmethod
    def paper(cls, vocabulary_size: int = 45_056, context: int = 1024) -> "TransformerConfig":
        """The size of KG26 sec. 6: depth 6, about 107 million parameters.

        The depth and the number of parameters are the paper's, which gives no other size. Its code
        (`code-submission`) has a width of 64 for each layer, contexts of 512 and 2048, and value
        embeddings, which this model lacks. So width 768, 12 query heads, 4 key and value heads,
        hidden 3072, an untied head and the vocabulary that then leads to 107 million are chosen
        here, as is the context.

        >>> TransformerConfig.paper().num_params
        106954752
        """
        return cls(vocabulary_size, context, width=768, depth=6, heads=12, kv_heads=4, hidden=3072)


class DecoderTransformer(nn.Module):
    """Logits of the next token, for every position of a sequence of tokens.

    x = E[tokens];  x += attention(rms_norm(x)),  x += mlp(rms_norm(x)) in each block;
    logits = rms_norm(x) W_head'                                                     KG26 sec. 6

    Twice differentiable in forward and in reverse mode, and under torch.func's transforms. ReLU^2
    has a continuous first derivative; its second one jumps at zero.

    Args:
        config: the sizes.
        generator: draws the weights; None means seed 0. Normal with variance 1 / (number of
            inputs); the two matrices of a block that write into x have it divided by 2 * depth
            (GPT-2), so that x does not grow with depth.
        dtype: float32 by default; float64 if small differences of curvature matter.

    Raises:
        ValueError: when called with tokens that are not (b, t) int64 in 0..V - 1, t <= context.

    >>> model = DecoderTransformer(TransformerConfig(vocabulary_size=5, context=8))
    >>> model(torch.tensor([[1, 4, 0]])).shape
    torch.Size([1, 3, 5])
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not isinstance(config, TransformerConfig):
            raise ValueError(
                f"config must be a TransformerConfig; got {type(config).__name__}. For example "
                "TransformerConfig.laptop(vocabulary_size=103)."
            )
        checks.real_dtype("dtype", dtype)
        super().__init__()
        g = torch.Generator().manual_seed(0) if generator is None else generator
        checks.explicit_generator(g)
        self.config = config
        V, C = config.vocabulary_size, config.width
        self.embedding = _embedding(V, C, g, dtype)
        self.blocks = nn.ModuleList(_Block(config, g, dtype) for _ in range(config.depth))
        self.head = None if config.tied else _linear(C, V, g, dtype)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (b, t, V) for tokens (b, t); those at position i depend on tokens 0..i only."""
        self._refuse_bad_tokens(tokens)
        x = self.embedding(tokens)  # (b, t, C)
        rotation = _rotation(self.config, x)  # two of (t, c/2)
        for block in self.blocks:
            x = block(x, rotation)  # (b, t, C)
        table = self.embedding.weight if self.head is None else self.head.weight  # (V, C)
        return F.linear(rms_norm(x), table)  # (b, t, V)

    def _refuse_bad_tokens(self, tokens: Tensor) -> None:
        if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64:
            got = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
            raise ValueError(f"tokens must be a torch tensor of int64; got {got}. Try .long().")
        if tokens.ndim != 2 or tokens.numel() == 0:
            raise ValueError(
                "tokens must have shape (b, t), one sequence to a row; got "
                f"{tuple(tokens.shape)}. A single sequence is tokens[None]."
            )
        if tokens.shape[1] > self.config.context:
            raise ValueError(
                f"A sequence may have at most context = {self.config.context} tokens; got "
                f"{tokens.shape[1]}. Cut it, or choose a larger context."
            )
        try:
            low, high = int(tokens.min()), int(tokens.max())
        except RuntimeError:
            return  # inside vmap nobody may look at values; there torch says "index out of range"
        if low < 0 or high >= self.config.vocabulary_size:
            raise ValueError(
                f"tokens must lie in 0..{self.config.vocabulary_size - 1} (vocabulary_size = "
                f"{self.config.vocabulary_size}); got {low}..{high}. Were they encoded with "
                "another vocabulary?"
            )


class _Block(nn.Module):
    """Attention and MLP, each reading a normalised x and adding to it."""

    def __init__(self, config: TransformerConfig, g: torch.Generator, dtype: torch.dtype) -> None:
        super().__init__()
        C, c = config.width, config.head_width
        writes = (2 * config.depth) ** -0.5
        self.query = _linear(C, config.heads * c, g, dtype)
        self.key = _linear(C, config.kv_heads * c, g, dtype)
        self.value = _linear(C, config.kv_heads * c, g, dtype)
        self.out = _linear(config.heads * c, C, g, dtype, writes)
        self.up = _linear(C, config.hidden, g, dtype)
        self.down = _linear(config.hidden, C, g, dtype, writes)
        self.config = config

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(rms_norm(x), rotation)  # (b, t, C)
        return x + self.down(F.relu(self.up(rms_norm(x))).square())  # (b, t, C)

    def attention(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        b, t, _ = x.shape
        c, groups = self.config.head_width, self.config.kv_heads
        shared = self.config.heads // groups
        # query head i reads key and value head i // shared: g is a group, s a query within it
        q = self.query(x).view(b, t, groups, shared, c).permute(0, 2, 3, 1, 4)  # (b, g, s, t, c)
        k = self.key(x).view(b, t, groups, 1, c).permute(0, 2, 3, 1, 4)  # (b, g, 1, t, c)
        v = self.value(x).view(b, t, groups, 1, c).permute(0, 2, 3, 1, 4)  # (b, g, 1, t, c)
        q, k = _rotate(q * c**-0.5, rotation), _rotate(k, rotation)
        future = torch.full((t, t), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        y = (q @ k.mT + future).softmax(-1) @ v  # (b, g, s, t, c), through (b, g, s, t, t)
        return self.out(y.permute(0, 3, 1, 2, 4).reshape(b, t, -1))  # (b, t, C)


def sequence_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens of each sequence: l_i, shape (b,).

    l_i = -(1/t) sum_j log softmax(logits_ij)[targets_ij]

    Args:
        logits: (b, t, V), the model's outputs.
        targets: (b, t) int64, the token that follows at each position.

    Returns:
        (b,), in nats per token.

    Raises:
        ValueError: shapes that don't belong together.

    >>> sequence_loss(torch.zeros(1, 3, 7), torch.tensor([[0, 6, 2]])).exp().round().tolist()
    [7.0]
    """
    if logits.ndim != 3 or targets.shape != logits.shape[:2]:
        raise ValueError(
            "logits must have shape (b, t, V) and targets (b, t); got "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}."
        )
    tokens = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")  # (b t,)
    return tokens.view_as(targets).mean(1)  # (b,)


def rms_norm(x: Tensor) -> Tensor:
    """Each vector divided by its root mean square; nothing to learn.

    x / sqrt(mean(x^2) + 1e-6), along the last dimension                             KG26 sec. 6

    1e-6, chosen here, keeps the derivatives finite at x = 0.

    >>> rms_norm(torch.tensor([3.0, 4.0])).square().mean().round()
    tensor(1.)
    """
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def _rotation(config: TransformerConfig, x: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle by which position j turns pair p: j * base^(-2p/c)."""
    c, t = config.head_width, x.shape[1]
    # in float64 whatever the model's dtype: late positions have large angles
    frequency = config.rope_base ** (-torch.arange(0, c, 2, dtype=torch.float64) / c)  # (c/2,)
    angle = torch.arange(t, dtype=torch.float64)[:, None] * frequency  # (t, c/2)
    return angle.cos().to(x), angle.sin().to(x)


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the pair of components (p, p + c/2) of each vector by its position's angle."""
    cos, sin = rotation
    left, right = x.chunk(2, dim=-1)  # two of (..., t, c/2)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


def _linear(
    fan_in: int, fan_out: int, g: torch.Generator, dtype: torch.dtype, scale: float = 1.0
) -> nn.Linear:
    linear = blank(nn.Linear, fan_in, fan_out, bias=False, dtype=dtype)
    _draw(linear.weight, scale * fan_in**-0.5, g)
    return linear


def _embedding(rows: int, width: int, g: torch.Generator, dtype: torch.dtype) -> nn.Embedding:
    embedding = blank(nn.Embedding, rows, width, dtype=dtype)
    _draw(embedding.weight, width**-0.5, g)
    return embedding


@torch.no_grad()
def _draw(weight: Tensor, std: float, g: torch.Generator) -> None:
    # float64 draws: the same weights in every dtype, up to rounding
    weight.copy_(std * torch.randn(weight.shape, generator=g, dtype=torch.float64))
