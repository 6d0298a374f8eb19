"""What set-up raises when it cannot go on, so that the operator reads one line instead of a traceback."""


class SetupError(Exception):
    """The operator's machine lacks something, or holds something that must not be overwritten.

    `problem` names what is missing or wrong; `remedy` says what to do about it. Both are shown on one line.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem
        self.remedy = remedy
