"""Turn a published post's stored JSON into Markdown that still says what a person vouched for."""

import json
import re
from typing import Any

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def markdown(detail_json: str, address: str) -> str:
    """Title, summary and the approved text, then where it stands and who vouched for which version."""
    post = json.loads(detail_json)
    parts = [
        f"# {escaped(post['title'])}",
        f"> {escaped(post['summary'])}" if post["summary"] else "",
        post["body"].strip(),
        *_checklists(post),
        "---",
        _vouched(post, address),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """One line of plain text, of which no character means anything to Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _checklists(post: dict[str, Any]) -> list[str]:
    parts = []
    for checklist in post["checklists"]:
        parts.append(f"## {escaped(checklist['title'] or 'Checklist')}")
        parts.append("\n".join(f"- [ ] {escaped(item)}" for item in checklist["items"]))
    return parts


def _vouched(post: dict[str, Any], address: str) -> str:
    review = post["review"]
    ai = " AI was involved in writing it." if review["ai_involved"] else ""
    return (
        f"Source: <{address}>, version {escaped(review['version'])}, reviewed by a person on"
        f" {review['at'][:10]}.{ai} SHA-256 of the content: `{review['fingerprint']}`"
    )
