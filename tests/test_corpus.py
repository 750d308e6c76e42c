import re

from hypothesis import given
from hypothesis import strategies as st

from longctx.corpus import split_lines


@given(st.text(st.sampled_from("ab \r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029é"), max_size=40))
def test_lines_end_at_line_feed_and_carriage_return_and_nowhere_else(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert len(lines) == len(re.findall(r"\r\n|\n|\r", text)) + (not text.endswith(("\r", "\n")) and text != "")
    assert all(re.fullmatch(r"[^\r\n]*(\r\n|\n|\r)?", line) for line in lines)
