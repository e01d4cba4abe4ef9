"""Where the trials of a wide search are kept: a journal in the run's folder, or a database that machines share."""

import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressor.digests import seal
from compressor.errors import InputError, MissingError
from compressor.extras import require
from compressor.passwords import HIDDEN, masked
from compressor.pipeline.job import Job
from compressor.pipeline.search.space import CHOICES
from compressor.pipeline.step import facts_of
from compressor.reading import read_text
from compressor.stage import Stage
from compressor.writing import write_atomically

STUDY = "compressor"
JOURNAL, IDENTITY = "journal.log", "identity.txt"
HINT = "--storage postgresql://USER@HOST/DATABASE, --storage sqlite:///FILE, or none: a journal in the run's folder"
# Seconds; a host that is silent for longer is taken for one that isn't there.
PATIENCE = 10
# The attributes of a study by which it is known whose it is.
SAME = ("space", "model", "data", "goals")


@dataclass(frozen=True)
class Opened:
    """A study that is this search's.

    Args:
        study: Optuna's.
        place: Where it is, as it may be shown.
        folder: What this run's folder is known by in it.
        where: The same for people: host and folder.
        is_shared: Whether others may have trials in it.
    """

    study: Any
    place: str
    folder: str
    where: str
    is_shared: bool

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Around every call of the study.

        Raises:
            InputError: The storage doesn't answer any more.
        """
        with _told(self.place):
            yield


def check_address(address: str) -> None:
    """Refuse an address that can't be one, before any work.

    Raises:
        InputError: It isn't one of a file or a server.
        MissingError: What talks to such a server isn't installed.
    """
    if address:
        _url(address)


def open_study(job: Job, stages: tuple[Stage, ...]) -> Opened:
    """Open the study of a job's search, or begin it.

    Args:
        job: Prepared; its folder's search is locked, so that nobody else writes its journal.
        stages: All that the search begins with, the open one among them.

    Raises:
        InputError: The storage can't be reached, or holds a search of something else; no password is in the message.
        MissingError: Optuna, or what talks to the database, isn't installed.
    """
    optuna = require("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = job.out / "search"
    place = masked(job.storage) or str(folder / JOURNAL)
    with _told(place, _password(job.storage)):
        storage = _database(optuna, job.storage) if job.storage else _journal(optuna, folder / JOURNAL)
        study = optuna.create_study(storage=storage, study_name=STUDY, load_if_exists=True, direction="minimize")
        known, own = study.user_attrs, digests(job, stages)
        if known or study.get_trials(deepcopy=False):
            _check_same(known, own, place, bool(job.storage))
        for name in SAME:
            study.set_user_attr(name, own[name])
    return Opened(study, place, _identity(folder), f"{socket.gethostname()}:{job.out}", bool(job.storage))


def digests(job: Job, stages: tuple[Stage, ...]) -> dict[str, str]:
    """What a search is known by: its space, its networks, its data and its goals; not how long it may take."""
    facts_of_stages, goals = facts_of(job, job.all_teachers), job.profile.budget
    settings = [[stage.kind, stage.model_dump(mode="json")] for stage in stages]
    facts: dict[str, Any] = {
        "space": [CHOICES, settings, *(facts_of_stages[name] for name in ("target", "task", "seed", "quick"))],
        "model": [facts_of_stages[name] for name in ("reference", "teachers", "student")],
        "data": [job.data.fingerprint, *(len(job.data.split(name)) for name in ("train", "validation"))],
        "goals": {**goals.limits(), "objective": goals.objective, "confidence": goals.confidence},
    }
    return {name: seal({"": fact}) for name, fact in facts.items()}


def _check_same(known: dict[str, Any], own: dict[str, str], place: str, is_shared: bool) -> None:
    others = [name for name in SAME if known.get(name) != own[name]]
    if others:
        hint = "another --storage" if is_shared else "another --out, or --fresh to forget what was searched here"
        raise InputError(f"{place} holds a search of other {' and '.join(others)}", hint)


def _identity(folder: Path) -> str:
    path = folder / IDENTITY
    if not path.exists():
        write_atomically(path, uuid.uuid4().hex.encode())
    return read_text(path).strip()


def _journal(optuna: Any, path: Path) -> Any:
    # Only one process at a time has the folder: what is locked was left by one that was killed, as was half a line.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists():
        written = path.read_bytes()
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            write_atomically(path, written[:whole])
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.storages.JournalStorage(backend)


def _database(optuna: Any, address: str) -> Any:
    url = _url(address)
    settings: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        settings = {"pool_pre_ping": True, "connect_args": {"connect_timeout": PATIENCE}}
    return optuna.storages.RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=settings)


def _url(address: str) -> Any:
    """The address as sqlalchemy has it, with the driver that is used here."""
    scheme = re.match(r"(sqlite|postgresql)(\+psycopg)?://", address)
    if scheme is None:
        raise InputError(f"--storage {masked(address)}: wanted the address of a database", HINT)
    require("optuna")
    sqlalchemy = require("sqlalchemy")
    try:
        url = sqlalchemy.engine.make_url(address)
    except (ValueError, sqlalchemy.exc.ArgumentError):
        raise InputError(f"--storage {masked(address)}: not an address", HINT) from None
    if "@" in (url.host or ""):
        # What stands before the last @ is part of the password, and a driver would name it as the host.
        raise InputError(f"--storage {masked(address)}: an @ in a password is written as %40", HINT)
    if scheme[1] == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise InputError(f"--storage {address}: trials in memory are gone with the process", HINT)
        return url
    try:
        require("psycopg")
    except ImportError as error:
        raise MissingError(f"psycopg can't be loaded: {error}", "pip install 'compressor[storage]'") from None
    return url.set(drivername="postgresql+psycopg")


def _password(address: str) -> str:
    return (_url(address).password or "") if address else ""


@contextmanager
def _told(place: str, password: str = "") -> Iterator[None]:
    """Make an error of ours of what a database, its driver or a journal's reader raises."""
    optuna, sqlalchemy = require("optuna"), require("sqlalchemy")
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        said = str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
        if password:
            said = said.replace(password, HIDDEN)
        raise InputError(
            f"the storage {place} can't be reached: {masked(said)}", "what is done is kept: the same command goes on"
        ) from None
    except (ValueError, KeyError) as error:
        raise InputError(
            f"the storage {place} can't be used: {masked(str(error))}", "another --storage or --out"
        ) from None
