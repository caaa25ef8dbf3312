"""What was found and missed in many images, counted while records come."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tmatch._results.records import Record


@dataclass
class Tally:
    """Counts of what was found in each image, for the end of a run.

    `fewest` is the smallest number of matches in an image, `fewest_in` the first such image; `missing` are images with
    the labels not found there, and `errors` images with why they were not searched.
    """

    labels: tuple[str, ...]
    images: int = 0
    matches: int = 0
    fewest: int | None = None
    fewest_in: str = ""
    missing: list[tuple[str, list[str]]] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Count a record."""
        self.count(record.name, Counter(match.label for match in record.matches), record.error)

    def count(self, name: str, found: Counter[str], error: str = "") -> None:
        """Count an image: how many matches each label has, or why it was not searched."""
        self.images += 1
        if error:
            self.errors.append((name, error))
            return
        self.matches += found.total()
        if self.fewest is None or found.total() < self.fewest:
            self.fewest, self.fewest_in = found.total(), name
        if missing := [label for label in self.labels if not found[label]]:
            self.missing.append((name, missing))

    @property
    def n_missing(self) -> int:
        """The number of labels that were not found, over all images."""
        return sum(len(labels) for _, labels in self.missing)

    def meets(self, required: str) -> bool:
        """Check that what is required was found: "all", "any", "none", or a number of matches in each image."""
        if required == "all":
            return not self.missing
        if required == "any":
            return self.matches > 0
        if required == "none":
            return self.matches == 0
        return (self.fewest or 0) >= int(required)

    def unmet(self, required: str) -> str:
        """Write which number of matches is not as required; empty if it is, or if other messages tell it."""
        if required in ("all", "any") or self.meets(required):
            return ""
        if required == "none":
            return f"--require none is not met: {self.matches:,} found"
        return f"--require {required} is not met: {self.fewest or 0:,} found in {self.fewest_in}" * bool(
            self.fewest_in
        )


def described(tally: Tally, most: int) -> Iterable[str]:
    """Write what was found and what is missing, the missing of at most so many images."""
    of = f" for {len(tally.labels)} templates" if len(tally.labels) > 1 else ""
    asked = (tally.images - len(tally.errors)) * len(tally.labels)
    parts = [f"{tally.images:,} image{'s' * (tally.images != 1)} searched{of}: {tally.matches:,} found"]
    parts += [f"{tally.n_missing:,} of {asked:,} not found"] * bool(tally.n_missing)
    parts += [f"{len(tally.errors):,} could not be searched"] * bool(tally.errors)
    yield ", ".join(parts)
    for i, (name, labels) in enumerate(tally.missing):
        if i == most:
            yield f"and {len(tally.missing) - most:,} more images; the records tell all of them"
            break
        yield f"not found in {name}: {', '.join(labels)}"
