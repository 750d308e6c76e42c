"""Makes project/manual.pdf, the manual of an invented tide gauge: three pages, the same bytes every time.

python examples/demo/make_pdf.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pymupdf

PAGES: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    (
        "TG-200 Tide Gauge: Manual",
        (
            (
                "1 What it is",
                (
                    "The TG-200 is a radar gauge that measures the level of water in harbours and rivers from above. It does "
                    "not touch the water, so waves, ice and weed do no harm to it.",
                    "The sensor averages 240 echoes over 40 seconds before it reports a level.",
                ),
            ),
            (
                "2 Accuracy",
                (
                    "The sensor has an accuracy of ±3 mm over the whole range from 0.4 m to 15 m.",
                    "In heavy rain of more than 50 mm an hour the accuracy falls to ±10 mm.",
                    "The built-in thermometer is accurate to ±0.5 °C and serves only to correct the speed of the electronics; "
                    "it does not measure the water.",
                ),
            ),
            (
                "3 Power",
                (
                    "The gauge needs a supply of 9 to 30 V and draws 18 mA while it measures.",
                    "With the battery pack BP-7 it runs for 14 months without a charge.",
                ),
            ),
        ),
    ),
    (
        "Installation and care",
        (
            (
                "4 Mounting",
                (
                    "Mount the gauge at least 1.5 m from any wall, and at least 0.4 m above the highest water to be expected. "
                    "The beam opens at 8 degrees and must not meet ladders, ropes or moored boats.",
                    "The mark on the flange is the zero of the measurement. Survey its height above chart datum to the "
                    "millimetre and enter the difference in the program that stores the levels.",
                ),
            ),
            (
                "5 Care",
                (
                    "Clean the radar window every six months with fresh water and a soft cloth.",
                    "Check the zero once a year against a levelling staff. If it differs by more than 5 mm, send the gauge in "
                    "for calibration.",
                    "The warranty lasts three years. It ends at once if the housing is opened.",
                ),
            ),
        ),
    ),
    (
        "Interface",
        (
            (
                "6 Connection",
                (
                    "The gauge listens on TCP port 4117 and serves one client at a time.",
                    "Send READ and a line end. The gauge answers with one line: the letter L and the level in metres, the "
                    "letter T and the temperature in degrees Celsius, an asterisk, and a checksum of two hexadecimal digits.",
                    "The checksum is the exclusive or of all characters before the asterisk.",
                ),
            ),
            (
                "7 Lights",
                (
                    "A green light that blinks once a second means that the gauge is measuring.",
                    "A yellow light means that echoes are weak; clean the window and look for things in the beam.",
                    "A red light means that the gauge needs service; its last valid level is kept in memory for 30 days.",
                ),
            ),
        ),
    ),
)


def write_section(page: pymupdf.Page, top: float, title: str, paragraphs: tuple[str, ...]) -> float:
    """Set a heading and its paragraphs; gives the height at which the next may begin."""
    page.insert_text((72, top + 14), title, fontname="hebo", fontsize=14)
    top += 24
    for paragraph in paragraphs:
        room = pymupdf.Rect(72, top, 523, 780)
        left = page.insert_textbox(room, paragraph, fontname="helv", fontsize=11, lineheight=1.3)
        if left < 0:
            raise ValueError(f"the page is full: {paragraph!r}")
        top += room.height - left + 8
    return top + 14


def manual() -> bytes:
    """The manual as a PDF."""
    with pymupdf.open() as document:
        for number, (title, sections) in enumerate(PAGES, start=1):
            page = document.new_page(width=595, height=842)
            page.insert_text((72, 92), title, fontname="hebo", fontsize=20)
            top = 120.0
            for heading, paragraphs in sections:
                top = write_section(page, top, heading, paragraphs)
            page.insert_text(
                (72, 810), f"TG-200 Manual, revision 4, page {number} of {len(PAGES)}", fontname="helv", fontsize=8
            )
        document.set_metadata(
            {"title": "TG-200 Tide Gauge: Manual", "creationDate": "D:20260101000000Z", "modDate": "D:20260101000000Z"}
        )
        data: bytes = document.tobytes(garbage=4, deflate=True, no_new_id=True)
    return data


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "project" / "manual.pdf"
    target.write_bytes(manual())
