"""Turn compiled HTML into how much there is to read: words, words of code, minutes.

238 words a minute is what adults read of English non-fiction in silence: Brysbaert, "How many words do we
read per minute? A review and meta-analysis of reading rate", Journal of Memory and Language 109 (2019),
doi:10.1016/j.jml.2019.104047. Code blocks are read at half of that, a rule of thumb: no study gives one
figure for code. Of Chinese and Japanese, which part no words, each character counts as one.
"""

import re
from html import unescape
from math import ceil
from typing import NamedTuple

WORDS_PER_MINUTE = 238
WORDS_PER_WORD_OF_CODE = 2

_BLOCK_OF_CODE = re.compile(r"<pre\b[^>]*>(.*?)</pre>", re.DOTALL)
# They part no words: "<b>w</b>ord" is one.
_INLINE = re.compile(
    r"</?(?:a|abbr|b|cite|code|del|dfn|em|i|ins|kbd|mark|q|s|samp|small|span|strong|sub|sup|u|var)\b[^>]*>"
)
_TAG = re.compile(r"<[^>]*>")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_WORDLIKE = re.compile(r"\w")


class Amount(NamedTuple):
    words: int
    code: int  # words in code blocks, not counted in `words`
    minutes: int  # rounded up; 0 when there is nothing


def amount(html: str) -> Amount:
    """How much a reader of this clean HTML has before them."""
    code = sum(_words(block) for block in _BLOCK_OF_CODE.findall(html))
    words = _words(_BLOCK_OF_CODE.sub(" ", html))
    return Amount(words, code, ceil((words + WORDS_PER_WORD_OF_CODE * code) / WORDS_PER_MINUTE))


def _words(html: str) -> int:
    text = unescape(_TAG.sub(" ", _INLINE.sub("", html)))
    text, ideographs = _IDEOGRAPH.subn(" ", text)
    return ideographs + sum(1 for word in text.split() if _WORDLIKE.search(word))
