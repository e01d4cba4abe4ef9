"""Knowledge distillation: losses as plain functions, the objective, recovery for other stages, the stage."""

from compressor.distill.losses import kd_kl
from compressor.distill.objective import Distillation, describe, labels_only
from compressor.distill.recover import recover
from compressor.distill.settings import FeatureTerm, KdSettings

__all__ = ["Distillation", "FeatureTerm", "KdSettings", "describe", "kd_kl", "labels_only", "recover"]
