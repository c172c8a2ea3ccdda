"""The files in a mail: names that are safe everywhere, sizes, and why one was not kept."""

import mimetypes
import re
from dataclasses import dataclass

from services.support.mail.charsets import one_line

MOST_NAME = 150
_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,120}")
_FORBIDDEN = re.compile(r'[<>:"|?*]')
# Devices of Windows, with whatever ending.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """A file that came with a message; `content` is None where it was not kept, and `refused_reason` says why."""

    name: str
    content_type: str
    content: bytes | None
    size: int
    inline: bool = False
    refused_reason: str = ""


@dataclass(frozen=True)
class Limits:
    """How much of a mail's files is kept."""

    files: int = 100
    file_bytes: int = 25 * 1024 * 1024
    all_bytes: int = 50 * 1024 * 1024


class Folder:
    """The files of one mail, each within the limits or refused with the reason."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files: list[File] = []
        self._kept_bytes = 0
        self._left_out = 0

    def add(self, name: str, content_type: str, content: bytes, *, inline: bool = False) -> None:
        """Keep a file, or what is known of it."""
        if len(self._files) >= self._limits.files:
            self._left_out += 1
            return
        if not _CONTENT_TYPE.fullmatch(content_type):
            content_type = "application/octet-stream"
        refused = self._refusal(len(content))
        kept = None if refused else content
        self._kept_bytes += len(kept or b"")
        self._files.append(File(safe_name(name, content_type), content_type, kept, len(content), inline, refused))

    def files(self) -> tuple[File, ...]:
        """All of them, and one that stands for those that were too many."""
        if not self._left_out:
            return tuple(self._files)
        reason = f"a message keeps {self._limits.files} files at most"
        more = File(f"{self._left_out} more", "application/octet-stream", None, 0, refused_reason=reason)
        return (*self._files, more)

    def _refusal(self, size: int) -> str:
        if size > self._limits.file_bytes:
            return f"is larger than {_mebibytes(self._limits.file_bytes)}"
        if self._kept_bytes + size > self._limits.all_bytes:
            return f"together the files are larger than {_mebibytes(self._limits.all_bytes)}"
        return ""


def safe_name(name: str, content_type: str) -> str:
    """A file's name without folders, signs of shells and marks of direction; a made-up one where nothing remains."""
    last = one_line(name, 1000).replace("\\", "/").rpartition("/")[2]
    plain = _FORBIDDEN.sub("_", last).strip(". ")
    if not plain:
        return f"attachment{mimetypes.guess_extension(content_type) or ''}"
    if _DEVICES.match(plain):
        plain = f"_{plain}"
    if len(plain) <= MOST_NAME:
        return plain
    stem, dot, ending = plain.rpartition(".")
    return f"{stem[: MOST_NAME - len(ending) - 1]}.{ending}" if dot and len(ending) <= 10 else plain[:MOST_NAME]


def _mebibytes(size: int) -> str:
    return f"{size / 1024 / 1024:g} MiB"
