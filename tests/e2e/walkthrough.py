"""Reads what a lab says, and what the walkthrough says of it: commands with their outputs, masked where runs differ."""

import re
from dataclasses import dataclass

_MASKS = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{64}\b", "SHA"),
    (r"\b[0-9a-f]{16}\b", "KEY"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d+(\.\d+)?", "N"),
    (r"\bN (bytes|[KMG]iB)", "SIZE"),
    (r"\bnewest$", "TIME"),
    (r"(Nm )?Ns\b", "SPAN"),
    (r"\s+", " "),
)
_TALK = re.compile(r"next: |.*: (running|succeeded)$")
"""What goes to standard error: it comes where it likes between the lines of an answer."""

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """A command line and the lines that it answered, masked; lines that only differ by run are one."""

    command: str
    lines: frozenset[str]


def masked(line: str, root: str = "") -> str:
    """Return a line without what differs from run to run; `root` is the folder that paths begin with."""
    text = (line.replace(root, "lab") if root else line).strip()
    for pattern, word in _MASKS:
        text = re.sub(pattern, word, text)
    return text


def documented(text: str) -> list[Said]:
    """Return the commands of a document's console blocks."""
    found = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            found.append(_said(command, lines, ""))
    return found


def narrated(text: str, root: str) -> list[Said]:
    """Return the commands of a lab's narration; an answer ends with the time that it took."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        answer = []
        for line in lines:
            if re.fullmatch(r" {2}\d+\.\d s", line):
                break
            answer.append(line)
        found.append(_said(command, answer, root))
    return found


def _said(command: str, lines: list[str], root: str) -> Said:
    kept = (masked(line, root) for line in lines if not _TALK.match(line))
    return Said(masked(command, root), frozenset(line for line in kept if line))
