"""Contrast of two colours, as WCAG 2 measures it: 1 (none) to 21 (black on white)."""


def contrast(one, other):
    """The ratio of two colours, (r, g, b) of 0..255 each; further channels are passed over."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    """How light a colour is to the eye, 0..1."""
    shares = [channel / 255 for channel in colour[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
