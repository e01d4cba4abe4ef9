"""Addresses of databases as they may be shown: without the password."""

import re

HIDDEN = "***"
# user:password@ before the last @ of a word that holds ://, since passwords may hold any sign but a blank.
USER = re.compile(r"(?P<before>\w://[^\s:/@]*:)[^\s]*(?=@)")
ARGUMENT = re.compile(r"(?P<before>[?&\s](?:ssl)?password=)[^\s&'\"]*", re.IGNORECASE)


def masked(text: str) -> str:
    """A text in which ``***`` stands for the password of every address: ``postgresql://me:***@host/db``."""
    for pattern in (USER, ARGUMENT):
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return text
