"""Records in a file that a later run can go on with."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmatch._batch.tally import Tally
from tmatch._results.formats import parse_line
from tmatch._results.records import Record

Key = tuple[str, int | None]  # an image and its page


@dataclass(frozen=True)
class Journal:
    """What a file of JSON lines holds: the complete images, how often each, and where their lines end."""

    done: Counter[Key] = field(default_factory=Counter)
    end: int = 0

    @classmethod
    def read(cls, path: Path, labels: Sequence[str], search: str, tally: Tally) -> "Journal":
        """Read the records of a run that was stopped, and count what was found.

        A last line that is not complete, and lines of a last image that is not, are left out. Raises ValueError if it
        is no file, or holds something else, or results of another search.
        """
        if not path.is_file():
            msg = f'"{path}" is a device or a pipe, and does not keep what a former run has written; name a file'
            raise ValueError(msg)
        done: Counter[Key] = Counter()
        end, found = 0, Counter[str]()
        for number, line, stop in _lines(path):
            row = _row(path, number, line)
            if row.get("search") != search:
                msg = (
                    f'"{path}" holds results of other templates or other options; write to another file, or leave '
                    "--resume out to begin again"
                )
                raise ValueError(msg)
            if "error" not in row:
                if row["label"] != labels[len(found)]:
                    raise _not_ours(path, number)
                found[row["label"]] = row["found"]
                if len(found) < len(labels):
                    continue
            key = row["image"], row["page"]
            tally.count(Record(*key).name, found, row.get("error", ""))
            done[key] += 1
            end, found = stop, Counter()
        return cls(done, end)

    def skips(self, key: Key) -> bool:
        """Check whether an image was searched already; each record counts once."""
        if self.done[key]:
            self.done[key] -= 1
            return True
        return False


def _lines(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Read the complete lines of a file: their number, what they hold, and where they end."""
    stop = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            stop += len(line)
            if line.endswith(b"\n"):
                yield number, line, stop


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return parse_line(line.decode())
    except ValueError:
        raise _not_ours(path, number) from None


def _not_ours(path: Path, number: int) -> ValueError:
    msg = (
        f'line {number:,} of "{path}" is no record of this search; write to another file, or remove this one'
    )
    return ValueError(msg)
