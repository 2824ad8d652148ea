"""Small models of `transformers` and an adapter of `peft`, with random weights."""

import sys

import torch
from draws import generator
from torch import nn
from torch.nn import functional as F

try:
    import torchvision  # noqa: F401
except Exception:  # one that does not fit torch would stop transformers, which needs none
    sys.modules["torchvision"] = None  # type: ignore[assignment]

import peft
import transformers

NUM_SAMPLES, LENGTH, WORDS, CLASSES = 6, 5, 11, 3
NO_TOKENS = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)


def batch(seed=0):
    """Token ids and a mask, some sequences shorter than the rest."""
    ids = torch.randint(1, WORDS, (NUM_SAMPLES, LENGTH), generator=generator(seed))
    mask = torch.ones_like(ids)
    mask[1, 3:] = mask[4, 2:] = 0
    # 0 is the word of padding; used as any other word it would have no derivative (padding_idx)
    return {"input_ids": ids * mask, "attention_mask": mask}


def next_token(outputs, ids):
    """The mean over a sequence of the cross-entropy of its next tokens."""
    logits = outputs.logits[:, :-1].transpose(1, 2)
    return F.cross_entropy(logits, ids[:, 1:], reduction="none").mean(1)


def of_class(outputs, labels):
    return F.cross_entropy(outputs.logits, labels, reduction="none")


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_positions=8, n_embd=4, n_layer=1, n_head=2, **NO_TOKENS
    )
    return transformers.GPT2LMHeadModel(config), next_token, batch()["input_ids"]


def llama():
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=4, intermediate_size=6, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=8, **NO_TOKENS,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config), next_token, batch()["input_ids"]


def bert():
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=4, intermediate_size=6, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8, num_labels=CLASSES,
    )  # fmt: skip
    labels = torch.randint(CLASSES, (NUM_SAMPLES,), generator=generator(3))
    return transformers.BertForSequenceClassification(config), of_class, labels


def lora():
    """A frozen GPT-2 with an adapter, whose second factor is not zero as it is at first."""
    base, fn, targets = gpt2()
    config = peft.LoraConfig(
        r=2, target_modules=["c_attn"], task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    model = peft.get_peft_model(base, config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.1)
    return model, fn, targets


def build(kind, seed=0):
    """A model in float64, its loss per sample and its targets."""
    torch.manual_seed(seed)
    model, fn, targets = {"gpt2": gpt2, "llama": llama, "bert": bert, "lora": lora}[kind]()
    return model.double().eval(), fn, targets
