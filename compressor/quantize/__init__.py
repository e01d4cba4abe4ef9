"""Quantization: an exported graph with rounding in it, that calibrates, trains and exports to integers."""

from compressor.graphs import capture
from compressor.quantize.calibration import calibrate
from compressor.quantize.insertion import insert, insert_quantizers
from compressor.quantize.placement import place

__all__ = ["calibrate", "capture", "insert", "insert_quantizers", "place"]
