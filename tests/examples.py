"""Make the small world of the API's examples, and turn its answers into those that the description shows.

`python -m pytest tests/test_api_contract.py --accept-examples` writes kb/api/examples.json anew.
"""

import json
from pathlib import Path
from typing import Any

from django.db import connections
from django.test import Client

from kb.document import Document
from kb.flow import publishing, reviewing, revising
from kb.models import Post

FILE = Path(__file__).parent.parent / "kb" / "api" / "examples.json"
# Numbers that answers show begin anew with each world.
COUNTED = ("kb_change_id_seq", "kb_publication_id_seq", "kb_publishedentity_id_seq")

PASSWORDS = {
    "title": "Rotate a database password without downtime",
    "body": "## Before\n\nMake a second login with the same rights.\n\n## Switch\n\n"
    "```sh\nkubectl set env deploy/api DB_USER=api_b\n```\n\nWait until the first login has no connection.",
    "topic": "secrets",
    "summary": "Two logins take turns, so no service ever holds a dead password.",
    "outline": [{"label": "Before", "text": "A second login"}, {"label": "Switch", "text": "One by one"}],
    "stack": ["PostgreSQL", "Kubernetes"],
    "tools": ["psql", "kubectl"],
    "code_language": "shell",
    "difficulty": "intermediate",
    "reading_time": 4,
    "scores": {"quality": 91, "freshness": 88, "depth": 74, "clarity": 93},
    "checklists": [{"title": "Before the switch", "items": ["The second login works", "Alerts are quiet"]}],
    "entities": [{"name": "postgresql", "type": "stack"}, {"name": "password rotation", "type": "problem"}],
    "owner": "platform",
    "expected_result": "Every service uses the new login; the old one is locked.",
    "rollback_note": "Set DB_USER back; the first login still works for a day.",
}
BACKUPS = {
    "title": "Prove that a backup restores",
    "body": "Restore last night's dump into an empty cluster and count the rows.",
    "topic": "backups",
    "summary": "A backup that was never restored is a hope.",
    "stack": ["PostgreSQL"],
    "difficulty": "beginner",
    "entities": [{"name": "postgresql", "type": "stack"}],
}


def make_world(people: Any, now: Any) -> None:
    """Two posts, one of them in its second version, and one that was withdrawn."""
    with connections["default"].cursor() as cursor:
        for sequence in COUNTED:
            cursor.execute(f"ALTER SEQUENCE {sequence} RESTART")
    backups = _published("prove-a-backup", BACKUPS, people, now)
    _published("withdrawn-note", {"title": "No longer true", "body": "Old."}, people, now)
    gone = Post.objects.get(slug="withdrawn-note")
    reviewing.withdraw(gone, by=people.reviewer, at=now, comment="No longer true.")
    _published("rotate-a-password", PASSWORDS, people, now)
    newer = Document.read({**BACKUPS, "body": f"{BACKUPS['body']} Write down how long it took."})
    note = revising.ChangeNote("Say how long it took.")
    revising.save(backups, newer, base_number=1, by=people.editor, at=now, note=note)
    _approve(backups, people, now)


def _published(slug: str, content: dict[str, Any], people: Any, now: Any) -> Post:
    document = Document.read(content)
    note = revising.ChangeNote("First version.")
    post = revising.create(document, slug=slug, by=people.editor, at=now, note=note)
    _approve(post, people, now)
    return post


def _approve(post: Post, people: Any, now: Any) -> None:
    post.refresh_from_db()
    head = post.head
    assert head is not None
    reviewing.approve(post, number=head.number, fingerprint=head.fingerprint, by=people.reviewer, at=now)


CHECKLIST = publishing.checklist_key(Document.read(PASSWORDS).checklists[0])
# Operation and status, and what is asked.
ASKED = {
    "root 200": "/api/v1/",
    "posts 200": "/api/v1/posts/?stack=PostgreSQL&limit=1",
    "posts 400": "/api/v1/posts/?stak=PostgreSQL",
    "post 200": "/api/v1/posts/rotate-a-password/",
    "post 404": "/api/v1/posts/no-such-post/",
    "meta 200": "/api/v1/posts/rotate-a-password/meta/",
    "revisions 200": "/api/v1/posts/prove-a-backup/revisions/",
    "revision 200": "/api/v1/posts/prove-a-backup/revisions/1/",
    "diff 200": "/api/v1/posts/prove-a-backup/revisions/1/diff/2/",
    "similar 200": "/api/v1/posts/rotate-a-password/similar/",
    "facets 200": "/api/v1/facets/?kind=stack",
    "search 200": "/api/v1/search/?q=restore a bakcup",
    "suggest 200": "/api/v1/suggest/?q=pass",
    "status 200": "/api/v1/status/",
    "entities 200": "/api/v1/entities/?type=stack",
    "entity 200": "/api/v1/entities/stack/postgresql/",
    "checklists 200": "/api/v1/checklists/",
    "entity_posts 200": "/api/v1/entities/problem/password%20rotation/posts/?brief=true",
    "checklist 200": f"/api/v1/checklists/{CHECKLIST}/",
    "checklist_posts 200": f"/api/v1/checklists/{CHECKLIST}/posts/?brief=true",
    "changes 200": "/api/v1/changes/?since=0&limit=4",
}


def answers(client: Client) -> dict[str, dict[str, Any]]:
    """What the API answers in that world, with a request id that does not change."""
    found = {}
    for name, address in ASKED.items():
        response = client.get(address)
        body = response.json()
        if "request_id" in body:
            body["request_id"] = "5f0c7f6f3b0d4c0f9a7e1d2c3b4a5968"
        found[name] = {"request": f"GET {address}", "status": response.status_code, "body": body}
    return found


def written(found: dict[str, dict[str, Any]]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
