"""In which other poses a template looks like itself, and how small it may be for a search over all angles."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._poses.plan import plan_of
from tmatch._scoring.search import comparable
from tmatch._search.matcher import Matcher, poses_of, searches_of

_MOST_PIXELS = 4e6  # of all turned copies that are compared


def about_poses(template: ArrayLike, mask: ArrayLike | None, channel_axis: int | None) -> dict[str, Any]:
    """Return what `Inspection` tells of poses; nothing of templates that are no images."""
    if np.ndim(template) - (channel_axis is not None) != 2:
        return {}
    matcher = Matcher(template, masks=mask, angles="all", flips=True, channel_axis=channel_axis)
    [search] = searches_of(matcher, np.zeros(np.shape(template)), None)
    plan = plan_of(comparable(search), poses_of(matcher))
    if len(plan.poses) * plan.side**2 > _MOST_PIXELS:
        return {"reduction": plan.factor}
    return {
        "reduction": plan.factor,
        "has_angle": plan.has_angle,
        "alternatives": tuple((round(turn, 1), flip) for turn, flip in plan.alternatives),
    }
