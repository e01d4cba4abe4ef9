from compressor.prune.outcome import PruneReport


def test_what_lost_nothing_is_not_listed() -> None:
    report = PruneReport({"a": 8, "b": 4}, {"a": 6, "b": 4}, {"c": "set in skip"})
    assert report.removed == {"a": 2}
