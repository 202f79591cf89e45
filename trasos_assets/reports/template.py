"""The one plotly template: colours that the colour-blind tell apart, on light paper and dark alike."""

from __future__ import annotations

# Okabe and Ito (2008), Color Universal Design. Ordered so that the first four have a contrast of 3:1 on white and on
# near black; the yellow of the set has not and is left out.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
ORANGE = "#E69F00"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
BLUE_BAND = "rgba(0,114,178,0.18)"

# Readable on both papers; the page's style sheet replaces it by the theme's own ink.
NEUTRAL = "#7A828C"
GRID = "rgba(122,130,140,0.25)"

TEMPLATE = "trasos"
FONTS = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def register_template() -> str:
    """Registers the template with plotly (again is harmless) and returns its name."""
    import plotly.graph_objects as go
    import plotly.io as pio

    axis = {
        "automargin": True,
        "separatethousands": True,
        "ticklabelstandoff": 4,
        "gridcolor": GRID,
        "linecolor": GRID,
        "showline": False,
        "ticks": "",
        "zeroline": False,
        "title": {"standoff": 8, "font": {"size": 12}},
        # A chart in a page is read, not navigated: a finger that drags over it scrolls the page.
        "fixedrange": True,
    }
    layout = go.Layout(
        autosize=True,
        colorway=list(COLOURS),
        dragmode=False,
        font={"family": FONTS, "size": 12, "color": NEUTRAL},
        hoverlabel={"font": {"size": 12}, "namelength": 40},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "title": {"text": ""},
            "itemclick": False,
            "itemdoubleclick": False,
        },
        margin={"l": 8, "r": 12, "t": 28, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        separators=".,",
        xaxis=axis | {"showgrid": False},
        yaxis=axis,
    )
    pio.templates[TEMPLATE] = go.layout.Template(layout=layout)
    return TEMPLATE
