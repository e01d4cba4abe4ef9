"""Any file to a form, and every form we write back from its folder."""

from compressor.loading.checkpoint import save_checkpoint
from compressor.loading.files import load_file
from compressor.loading.saved import load_form, save_form

load_model = load_file

__all__ = ["load_file", "load_form", "load_model", "save_checkpoint", "save_form"]
