"""What engines do with tiles of three dimensions; see `interface.Engine`, of which this is a part."""

from typing import Any, Protocol

from tmatch._arrays.typing import Array, Shape


class Volumes(Protocol):
    """The loops over windows of volumes: depth, height and width."""

    def volume_norms(
        self,
        digits: Array,
        window: Shape,
        scales: tuple[float, float],
        limits: tuple[float, float],
        inverse: Array,
    ) -> float:
        """Compute the inverse norms of all windows as `fixed_norms` does; `digits` has an axis of slices."""

    def score_volume(
        self,
        product: Array,
        tile: Array,
        window: Shape,
        centre: int,
        sum_dtype: Any,
        template_sum: Array,
        variance: Array,
        template: float,
    ) -> int:
        """Convert products to scores as `score_alone` does; `template_sum` has the dtype of products."""

    def scale_volume(self, product: Array, width: int, inverse: Array) -> tuple[float, int]:
        """Scale products in single precision to scores in [-1, 1], in the corner of `product`.

        Return the largest sum of squares of a row or a column of the first `width` columns of products, and the number
        of scores that exceed 1 by more than rounding, doubtful ones aside.
        """
