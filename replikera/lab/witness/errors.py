"""What the witness says of a file that it cannot vouch for."""

from pathlib import Path


class WitnessError(ValueError):
    """The file is not one that the witness can vouch for."""

    def __init__(self, path: Path, problem: str) -> None:
        self.cause = f"{path}: {problem}"
        self.remedy = (
            "The lab reads VHDX files whose structures are whole and whose parents are beside them; "
            "convert or repair the disk with its hypervisor"
        )
        super().__init__(f"{self.cause}. {self.remedy}.")
