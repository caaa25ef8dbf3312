"""Records as a report of tests that CI servers show: JUnit's XML."""

import html
import re

from tmatch._results.formats.rows import match_row
from tmatch._results.formats.writers import Writer, labels_of
from tmatch._results.matches import Match
from tmatch._results.records import Record

_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # in XML 1.0, even as a number


class JUnitWriter(Writer):
    """A suite for each image, with a case for each label, which fails if it was not found."""

    def begin(self) -> str:
        """Open the list of suites."""
        return '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="tmatch">\n'

    def add(self, record: Record) -> str:
        """Return the suite of an image."""
        cases = self._cases(record)
        wrong = sum(map(bool, cases.values()))
        failures, errors = (0, wrong) if record.error else (wrong, 0)
        name = _attribute(record.name)
        counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="0"'
        lines = (
            f"    <testcase classname={name} name={_attribute(label or 'template')}"
            + (f">{problem}</testcase>\n" if problem else "/>\n")
            for label, problem in cases.items()
        )
        return f"  <testsuite name={name} {counts}>\n{''.join(lines)}  </testsuite>\n"

    def end(self) -> str:
        """Close the list of suites."""
        return "</testsuites>\n"

    def _cases(self, record: Record) -> dict[str, str]:
        """Return what is wrong with each label; an image that was not searched may have none."""
        labels = labels_of(record)
        if record.error:
            return dict.fromkeys(labels or ["image"], _problem("error", "not searched", record.error))
        missing = set(record.matches.missing)
        return {label: self._failure(record.matches.best.get(label)) * (label in missing) for label in labels}

    def _failure(self, best: Match | None) -> str:
        told = "the best position is not known" if best is None else _describe(best, self.layout.pixel_ratio)
        return _problem("failure", "not found", told)


def _describe(best: Match, pixel_ratio: float) -> str:
    """Write where the best position lies, and how good it is."""
    row = match_row(best, pixel_ratio)
    at = f"x={row['x']}, y={row['y']}" if "x" in row else f"start {tuple(row['start'])}"
    score = "no score" if row["score"] is None else f"score {row['score']:.3f}"
    number = row["false_alarms"]
    expected = "" if number is None else f", with {number:.2g} false alarms expected at this score"
    return f"the best position, at {at}, has {score}{expected}"


def _problem(tag: str, kind: str, told: str) -> str:
    return f'<{tag} type="{kind}" message={_attribute(f"{kind}: {told}")}>{html.escape(_legal(told))}</{tag}>'


def _attribute(text: str) -> str:
    """Return a text in quotes; white space other than a blank would become one, so it is told by its number."""
    plain = html.escape(_legal(text))
    return '"' + re.sub("[\t\n\r]", lambda found: f"&#{ord(found[0])};", plain) + '"'


def _legal(text: str) -> str:
    """Remove characters that XML cannot hold."""
    return _FORBIDDEN.sub("", text)
