"""What goes wrong with a VHDX file, in words an operator can act on."""

from pathlib import Path

DAMAGED = "Restore the file from another copy; Hyper-V's Test-VHD shows what else it finds wrong."
UNSUPPORTED = "Convert the disk into a new dynamic VHDX, for example with Convert-VHD."


class VhdxError(ValueError):
    """A file that is not a VHDX, is damaged, is of an unsupported kind, or a request outside its disk."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy
