"""The baseline: as many epochs, drawn at random, the same for the same seed."""

from imagined import Imagined, moves_on

from compressor.pipeline.search.moves import MORE
from compressor.pipeline.search.random_cuts import random_cuts


def cuts_of(seed: int, epochs: int) -> tuple[list[str], list[str]]:
    work = Imagined()
    moves = moves_on(work, score_drop=0.01)
    random_cuts(moves, work.origin, epochs, seed)
    return [line for line in work.log if " prune " in line], [file.name for file in moves.files]


def test_spends_the_epochs_that_it_is_given() -> None:
    cuts, files = cuts_of(seed=0, epochs=20)
    each = moves_on(Imagined(), score_drop=0.01).epochs(MORE)
    assert len(cuts) == 20 // each
    assert all(line.split()[1] == "p00" and line.endswith(f" {each}") for line in cuts)
    # The one that looks best is finished as the search's would be.
    assert files[-1].endswith("finished")


def test_a_seed_is_a_row_of_draws() -> None:
    assert cuts_of(0, 20) == cuts_of(0, 20)
    assert cuts_of(0, 20) != cuts_of(1, 20)
