"""Distillation losses as plain functions on tensors, usable in anyone's loop.

Each gives a scalar in float32, lets its gradient flow to the student alone, and doesn't change with the order or,
but for the losses over pairs, the size of the batch.
"""

from compressor.distill.losses.attention import attention_matrices, attention_transfer
from compressor.distill.losses.feature import cosine, hidden_states, hint
from compressor.distill.losses.relation import cosine_similarities, rkd_angle, rkd_distance, similarity_preserving
from compressor.distill.losses.response import decoupled_kd, kd_kl, label_smoothing, logit_mse

__all__ = [
    "attention_matrices",
    "attention_transfer",
    "cosine",
    "cosine_similarities",
    "decoupled_kd",
    "hidden_states",
    "hint",
    "kd_kl",
    "label_smoothing",
    "logit_mse",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
]
