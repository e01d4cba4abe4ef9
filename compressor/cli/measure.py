"""``compress measure``: the numbers of one file."""
