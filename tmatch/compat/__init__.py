"""Drop-in replacements for other libraries: functions with the same names, arguments and numbers.

Each module replaces the template matching of one library, and lists its intentional differences. None of them
imports the library that it replaces: ::

    from tmatch.compat import cv2  # cv2.matchTemplate and its six methods
    from tmatch.compat.skimage import match_template
"""
