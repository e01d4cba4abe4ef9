"""Which channels stand together, and which stay."""

import numpy as np

from compressor.prune.graph.labels import UNIFORM, Labels


def test_sets_grow_together_and_a_reason_holds_for_all_of_them() -> None:
    labels = Labels()
    one, two, three = labels.fresh(3), labels.fresh(3), labels.fresh(3)
    labels.unite(one, two)
    labels.unite(two[:2], three[1:])
    labels.fix(three[1:2], "stays")
    assert np.array_equal(labels.roots(one), labels.roots(two))
    assert labels.roots(three).tolist() == [6, 0, 1]
    assert labels.reasons() == {0: "stays"}


def test_a_grid_is_folded_over_all_axes_but_one() -> None:
    labels = Labels()
    ids = labels.fresh(6)
    assert labels.fold(ids, 1, (2, 3)).tolist() == [0, 1, 2]
    assert labels.roots(ids).tolist() == [0, 1, 2, 0, 1, 2]


def test_axes_that_meet() -> None:
    labels = Labels()
    one, two = labels.fresh(2), labels.fresh(2)
    assert labels.match([one, UNIFORM], "") is one
    assert labels.match([UNIFORM, UNIFORM], "") is UNIFORM
    assert labels.match([two, None], "a table") is None
    assert labels.reasons() == {2: "a table", 3: "a table"}
