"""The pipeline: plan() checks a run without training, run() does it, from the stage cache where it can."""

from compressor.pipeline.job import Job
from compressor.pipeline.plan import Plan, PlanLine, plan
from compressor.pipeline.run import run

__all__ = ["Job", "Plan", "PlanLine", "plan", "run"]
