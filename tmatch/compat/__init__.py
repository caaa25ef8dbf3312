"""Doors for those who come from elsewhere: functions with the names, arguments and numbers of other libraries.

Each module stands in for one of them, as far as template matching goes, and lists where it differs on purpose.
None of them imports the library it stands in for: ::

    from tmatch.compat import cv2  # cv2.matchTemplate and its six methods
    from tmatch.compat.skimage import match_template
"""
