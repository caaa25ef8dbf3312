"""What a search of one of many images has found, and what it has not."""

from dataclasses import dataclass, field

from tmatch._io.images import name_of
from tmatch._results.collection import Matches


@dataclass(frozen=True)
class Record:
    """What was found in one image, page or frame; or the error that kept it from being searched.

    Parameters
    ----------
    image : str
        Name of the image: the path as given, of files in a folder below it.
    page : int or None
        Page of a stack or frame of a video, counted from 0; None if the file holds a single image.
    time : float or None
        Seconds from the start of a video; None if the image is not from one.
    matches : Matches
        What was found, with the labels that were sought.
    error : str
        Why the image was not searched; empty if it was.
    level : int or None
        Level of a pyramid in whose pixels boxes are; None if none was chosen.
    """

    image: str
    page: int | None = None
    time: float | None = None
    matches: Matches = field(default_factory=Matches)
    error: str = ""
    level: int | None = None

    @property
    def name(self) -> str:
        """The image, with its page if there are several."""
        return name_of(self.image, self.page)
