"""Which stages a run goes through, where its profile leaves that to what the goals allow."""

from compressor.pipeline.search.search import Searched, begun, search

__all__ = ["Searched", "begun", "search"]
