"""Which stages a run goes through, where its profile leaves that to what the goals allow."""

from compressor.pipeline.search.foresight import check_limits, is_open, repeats, search_notes
from compressor.pipeline.search.search import Searched, begun, search

__all__ = ["Searched", "begun", "check_limits", "is_open", "repeats", "search", "search_notes"]
