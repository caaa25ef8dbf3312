"""Drop-in replacements for other libraries: functions with the same names, arguments and numbers.

Each module replaces the template matching of one library, and lists its intentional differences. None of them
imports the library that it replaces. They are loaded when they are used: ::

    from tmatch.compat import cv2  # cv2.matchTemplate and its six methods
    from tmatch.compat.skimage import match_template
    from tmatch.compat import pyscreeze  # locateOnScreen and its relatives
    from tmatch.compat import mtm as MTM  # MTM.matchTemplates
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tmatch.compat import cv2, mtm, pyscreeze, skimage
else:  # for type checkers, a module with this function would have any attribute

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            msg = f"module {__name__!r} has no attribute {name!r}; its modules are {', '.join(__all__)}"
            raise AttributeError(msg)
        return importlib.import_module(f"{__name__}.{name}")


__all__ = ["cv2", "mtm", "pyscreeze", "skimage"]
