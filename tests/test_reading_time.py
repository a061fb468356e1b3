"""How much there is to read: words, words of code, minutes."""

import pytest

from kb.reading_time import Amount, amount


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", Amount(0, 0, 0)),
        ("<p>One two</p><p>three</p>", Amount(3, 0, 1)),
        ("<p><b>w</b>ord, don&#39;t &amp; -- won&nbsp;won</p>", Amount(4, 0, 1)),
        ("<ul><li>one</li><li>two</li></ul>", Amount(2, 0, 1)),
        ("<p>word</p><pre><code>a = b + 1\n</code></pre>", Amount(1, 3, 1)),
        ("<p>" + "word " * 238 + "</p>", Amount(238, 0, 1)),
        ("<p>" + "word " * 239 + "</p>", Amount(239, 0, 2)),
        ("<pre>" + "word " * 238 + "</pre>", Amount(0, 238, 2)),
        ("<p>日本語 and 漢字</p>", Amount(6, 0, 1)),
    ],
)
def test_words_are_counted_and_code_takes_twice_as_long(html: str, expected: Amount) -> None:
    assert amount(html) == expected
