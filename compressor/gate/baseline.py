"""A baseline that a repository keeps: figures as JSON, to be read in a diff, and the file beside them, to be timed."""

from pathlib import Path

from compressor.errors import InputError
from compressor.gate.subject import Subject, subject_of
from compressor.onnx_files import file_size
from compressor.reading import as_record, read_json
from compressor.writing import write_atomically


def write_baseline(subject: Subject, path: Path) -> list[str]:
    """Write a subject's figures and a copy of its file, whose weights must be in it.

    Args:
        subject: Has a result.
        path: A ``.json`` file; the copy lies beside it under the same stem.

    Returns:
        What changed, a line each.

    Raises:
        InputError: The subject has no result, or ``path`` holds something else.
    """
    if subject.failed:
        raise InputError(f"{subject.name} has no result: {subject.failed}", "a run that ended")
    if path.suffix != ".json":
        raise InputError(f"--baseline {path}: wanted a .json file to write", "--baseline baseline.json --update")
    before = None
    if path.exists():
        hint = "another name for the baseline"
        before = as_record(Subject, read_json(path, dict, hint), f"{path}, which is no baseline", hint)
    if not path.parent.is_dir():
        raise InputError(f"no folder {path.parent}", f"mkdir -p {path.parent}")
    name = ""
    if subject.file:
        source = Path(subject.file)
        if file_size(source) != source.stat().st_size:
            raise InputError(
                f"{source} keeps weights in other files, which a baseline can't hold",
                "onnx.save_model(onnx.load(FILE), FILE) puts all into one",
            )
        name = path.with_suffix(source.suffix).name
        write_atomically(path.with_name(name), source.read_bytes())
    kept = subject.model_copy(update={"file": name})
    write_atomically(path, f"{kept.model_dump_json(indent=2)}\n".encode())
    return _changes(before, subject_of(path))


def _changes(before: Subject | None, after: Subject) -> list[str]:
    lines = []
    for name, old, new in (
        ("size", before and before.size_bytes, after.size_bytes),
        ("params", before and before.params, after.params),
        ("macs", before and before.macs, after.macs),
        ("score", before and before.score and before.score.value, after.score and after.score.value),
    ):
        if old != new:
            lines.append(f"{name}: {old if old is not None else 'none'} -> {new if new is not None else 'none'}")
    return lines
