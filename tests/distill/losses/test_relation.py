"""Against loops over pairs and triplets in numpy."""

import itertools

import numpy as np
import pytest
import torch

from compressor.distill.losses import cosine_similarities, rkd_angle, rkd_distance, similarity_preserving

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 7))
SIDES = (torch.tensor(STUDENT), torch.tensor(TEACHER))


def huber(difference: float) -> float:
    return 0.5 * difference**2 if abs(difference) < 1 else abs(difference) - 0.5


def test_distances_against_loops() -> None:
    pairs = list(itertools.combinations(range(5), 2))
    student, teacher = (np.array([np.linalg.norm(side[a] - side[b]) for a, b in pairs]) for side in (STUDENT, TEACHER))
    wanted = np.mean([huber(d) for d in student / student.mean() - teacher / teacher.mean()])
    assert float(rkd_distance(*SIDES)) == pytest.approx(wanted, rel=1e-5)


def test_angles_against_loops() -> None:
    def angle(side: np.ndarray, middle: int, a: int, b: int) -> float:
        one, other = side[a] - side[middle], side[b] - side[middle]
        lengths = np.linalg.norm(one) * np.linalg.norm(other)
        return float(one @ other / lengths) if lengths else 0.0

    triplets = itertools.product(range(5), repeat=3)
    wanted = np.mean([huber(angle(STUDENT, *t) - angle(TEACHER, *t)) for t in triplets])
    assert float(rkd_angle(*SIDES)) == pytest.approx(wanted, rel=1e-5)


def test_similarities_against_loops() -> None:
    def matrix(side: np.ndarray) -> np.ndarray:
        products = np.array([[one @ other for other in side] for one in side])
        return np.array([row / np.linalg.norm(row) for row in products])

    wanted = ((matrix(TEACHER) - matrix(STUDENT)) ** 2).sum() / 25
    assert float(similarity_preserving(*SIDES)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("loss", [rkd_distance, rkd_angle, similarity_preserving])
def test_scale_is_nothing(loss: object) -> None:
    assert callable(loss)
    assert float(loss(SIDES[0], 100 * SIDES[0])) < 1e-8


def test_one_sample_has_no_relations() -> None:
    one = torch.randn(1, 4, requires_grad=True)
    value = rkd_distance(one, torch.randn(1, 4))
    value.backward()
    assert float(value.detach()) == 0


def test_angles_of_near_points_and_of_equal_ones() -> None:
    # A right angle at the first point, far from the origin; the last point is the first again.
    far = torch.tensor([[1000.0, 1000.0], [1000.25, 1000.0], [1000.0, 1000.25], [1000.0, 1000.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    value = rkd_angle(far, teacher)
    value.backward()
    assert float(value.detach()) < 1e-6
    assert far.grad is not None and torch.isfinite(far.grad).all()


def test_angles_of_wide_features_need_no_memory_for_their_directions() -> None:
    wide = torch.randn(128, 16384, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        rkd_angle(wide, torch.randn(128, 16384)).backward()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < 128 * 128 * 16384 * 4 / 10


def test_cosines_against_loops() -> None:
    def matrix(side: np.ndarray) -> np.ndarray:
        return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in side] for a in side])

    wanted = ((matrix(STUDENT) - matrix(TEACHER)) ** 2).sum() / (5 * 4)
    assert float(cosine_similarities(*SIDES)) == pytest.approx(wanted, rel=1e-5)
    # Each vector has a length of its own.
    lengths = torch.tensor(RNG.uniform(1, 9, (5, 1)))
    assert float(cosine_similarities(SIDES[0] * lengths, SIDES[1])) == pytest.approx(wanted, rel=1e-5)
    # Two at a right angle for the student that are one for the teacher.
    assert float(cosine_similarities(torch.eye(2), torch.ones(2, 3))) == pytest.approx(1.0)
