"""The front of a run's search as pictures that stand by themselves, for a page that has no style sheet of its own.

python tools/draw_front.py runs/last docs/pictures/front     # front-size.svg and front-latency.svg
"""

import argparse
from pathlib import Path

from compressor.report import REPORT, Report, report_in
from compressor.report_html.front import front_plots

# Those of the report's page, light on white.
STYLE = """<style>
text { fill: #63686e; font: 11px system-ui, sans-serif; } .axis { font-size: 12px; } .grid { stroke: #e1e3e6; }
.path { fill: none; stroke: #2a6fb0; stroke-width: 1.5; stroke-dasharray: 3 4; }
.error { stroke: #2a6fb0; stroke-width: 1.5; } .goal { fill: #1c7c43; opacity: .08; }
.dot-other { fill: none; stroke: #63686e; } .dot-front { fill: #2a6fb0; } .dot-control { fill: #b3261e; }
.dot-chosen { fill: #1c7c43; stroke: #1d1f21; stroke-width: 1.5; }
.dot-test { fill: #fff; stroke: #1c7c43; stroke-width: 2; }
.dot-reference { fill: #fff; stroke: #2a6fb0; stroke-width: 2; }
</style><rect width="100%" height="100%" fill="#fff"/>"""


def main() -> None:
    """Write a picture for size and one for latency."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    report = Report.read(report_in(arguments.run) or arguments.run / REPORT)
    for name, drawn in zip(("size", "latency"), front_plots(report), strict=False):
        path = arguments.out.with_name(f"{arguments.out.name}-{name}.svg")
        opened, _, rest = drawn.partition(">")
        path.write_text(f"{opened}>{STYLE}{rest}\n")
        print(path)


if __name__ == "__main__":
    main()
