"""Which stages a run goes through, where its profile leaves that to what the goals allow."""

from compressor.pipeline.search.search import Searched, is_open, search

__all__ = ["Searched", "is_open", "search"]
