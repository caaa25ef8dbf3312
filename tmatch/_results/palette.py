"""Colours of labels, which readers tell apart whatever colours they see."""

# M. Okabe and K. Ito, "Color Universal Design", 2008, but for black: visible on dark and on bright images.
SKY_BLUE, ORANGE, PURPLE, YELLOW, GREEN, VERMILION, BLUE = (
    "#56b4e9",
    "#e69f00",
    "#cc79a7",
    "#f0e442",
    "#009e73",
    "#d55e00",
    "#0072b2",
)
LABEL_COLOURS = (SKY_BLUE, ORANGE, PURPLE, YELLOW, GREEN, VERMILION, BLUE)
