"""Scripts that are copied beside an artifact; they stand alone and import nothing of this package."""
