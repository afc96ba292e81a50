"""The errors that Headwater raises on purpose, and the findings that its checks report.

    HeadwaterError
    ├── CallerFault        the input, a file or a call is wrong: mend it, a retry does not help   exit 2
    │   ├── InvalidFiles   files with findings: each at file, line and column                     exit 1
    │   └── Misfit         one record does not fit its contract: quarantine it, go on             exit 1
    ├── NotSupported       right, but this cannot do it: take the way that the hint names         exit 2
    ├── Unreachable        something needed is away: the same call works after the mend           exit 3
    ├── PolicyRefused      a policy says no                                                       exit 5
    └── Fault              a fault of Headwater itself, or of data it wrote: stop, report         exit 70

Each error says what is wrong (`message`), why it matters (`detail`) and how to mend it (`hint`), and has a stable
`code` with a page in the reference. Exit codes are those of `docs/reference/exit-codes.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]


class HeadwaterError(Exception):
    """Root of the tree. Raise a leaf.

    >>> error = Unreachable("Kafka does not answer at 127.0.0.1:9", code="HW-R001", hint="headwater up")
    >>> error.retriable, error.exit_code, error.code
    (True, 3, 'HW-R001')
    >>> print(error.render())
    Kafka does not answer at 127.0.0.1:9
    fix: headwater up
    [HW-R001]
    """

    retriable = False
    exit_code = 70

    def __init__(self, message: str, *, code: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.detail = detail
        self.hint = hint

    def render(self) -> str:
        """The error as a person reads it: what, why, `fix:` how, code."""
        parts = [self.message, self.detail, f"fix: {self.hint}" if self.hint else "", f"[{self.code}]"]
        return "\n".join(part for part in parts if part)


class CallerFault(HeadwaterError):
    """The input, a file or a call is wrong."""

    exit_code = 2


class NotSupported(HeadwaterError):
    """Asked for rightly, but this runner, port or version cannot do it; the hint names the nearest way."""

    exit_code = 2


class Unreachable(HeadwaterError):
    """Something needed is away; nothing was lost, and the same call works once it is back."""

    retriable = True
    exit_code = 3


class PolicyRefused(HeadwaterError):
    """A policy of the mesh refuses this."""

    exit_code = 5


class Fault(HeadwaterError):
    """Headwater, or data that it wrote, is not as it must be. Never caught to go on."""


class Misfit(CallerFault):
    """One record that does not fit its contract. Never carries the record's values: they may be personal.

    `field` is the dotted path of the first field that does not fit, empty where the whole record is meant.
    """

    exit_code = 1

    def __init__(self, message: str, *, code: str, field: str = "", detail: str = "", hint: str = "") -> None:
        super().__init__(message, code=code, detail=detail, hint=hint)
        self.field = field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found, at its place. `line` and `column` count from 1; 0 where the place is the file.

    >>> place = ("product.yaml", 3, 1, "ownr")
    >>> finding = Finding("HW-C003", "error", *place, "unknown key 'ownr'", "keys are strict", "owner")
    >>> finding.render()
    "product.yaml:3:1 unknown key 'ownr'. keys are strict. fix: owner [HW-C003]"
    """

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    path: str
    message: str
    why: str = ""
    fix: str = ""

    def render(self) -> str:
        """The finding in one line, as `docs` section "messages" has it."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        sentences = ". ".join(part for part in (self.message, self.why) if part)
        fix = f" fix: {self.fix}" if self.fix else ""
        return f"{place} {sentences}.{fix} [{self.code}]" if fix else f"{place} {sentences} [{self.code}]"

    def as_json(self) -> dict[str, object]:
        """The finding as the published JSON form has it."""
        return {**asdict(self), "docs": f"docs/reference/findings/{self.code}.md"}


class InvalidFiles(CallerFault):
    """Files with findings of severity error; all findings of one reading, in order of place."""

    exit_code = 1

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda f: (f.file, f.line, f.column, f.code)))
        count = sum(1 for finding in self.findings if finding.severity == "error")
        super().__init__(
            f"{count} finding{'s' if count != 1 else ''} in the mesh's files",
            code=self.findings[0].code if self.findings else "HW-C000",
            detail="\n".join(finding.render() for finding in self.findings),
        )
