"""Values that options take."""

from typing import Literal

Border = Literal["constant", "edge", "reflect", "symmetric", "wrap"]
Metric = Literal["zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"]
Missing = Literal["refuse", "ignore"]
Output = Literal["valid", "same", "full"]
Means = Literal["separate", "joint"]
Precision = Literal["double", "single"]
Prefilter = Literal["none", "whiten", "bandpass", "auto"]
ChannelAxis = int | Literal["auto"] | None
