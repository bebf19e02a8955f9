"""What ends a lab run early."""


class LabError(Exception):
    """The lab cannot go on: `cause` says what happened, `remedy` what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}. {remedy}.")
        self.cause = cause
        self.remedy = remedy
