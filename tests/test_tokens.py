"""Access tokens: shown once, known by their checksum, issued and revoked by who may, on the record."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from kb import access_token
from kb.admin import events
from kb.admin.events import Wanted
from kb.document import Document
from kb.errors import Refused
from kb.flow import flagging, issuing, metering
from kb.models import AccessToken
from tests.forms import filled

DAY = timedelta(days=1)
LIST = "/admin/kb/accesstoken/"
ADD = f"{LIST}add/"

Issue = Callable[..., tuple[AccessToken, str]]


@pytest.fixture
def issue(people: SimpleNamespace, now: datetime) -> Issue:
    def make(label: str = "status page", **facts: Any) -> tuple[AccessToken, str]:
        given = {"owner": people.editor, "scopes": ["read"], "expires_at": now + DAY, "at": now, **facts}
        return issuing.issue(label, **given)

    return make


@pytest.fixture
def administrator(client: Client, people: SimpleNamespace) -> Client:
    client.force_login(people.administrator)
    return client


# --- The text of a token ------------------------------------------------------------------------------------
def test_a_token_has_a_prefix_and_a_checksum_that_fits() -> None:
    tokens = {access_token.make() for _ in range(50)}

    assert len(tokens) == 50
    assert all(re.fullmatch("kb_[0-9A-Za-z]{36}", token) and access_token.is_whole(token) for token in tokens)
    # Computed elsewhere: CRC-32 of thirty zeros, in base 62.
    assert access_token.is_whole("kb_" + "0" * 30 + "2C8GjS")


@given(place=st.integers(3, 38), other=st.sampled_from("09AZaz"))
def test_any_one_wrong_character_shows(place: int, other: str) -> None:
    token = "kb_" + "x1" * 15 + "1yfMAA"
    wrong = token[:place] + other + token[place + 1 :]

    assert access_token.is_whole(token)
    assert access_token.is_whole(wrong) is (wrong == token)


def test_a_token_in_a_text_is_flagged_and_what_only_looks_so_is_not() -> None:
    token = access_token.make()
    broken = token[:-1] + ("0" if token[-1] != "0" else "1")

    def found(text: str) -> str:
        finding = flagging.credential(Document.read({"title": "A note", "body": text}))
        return finding.sentence if finding else ""

    assert found(f"Use `{token}` here.") == "The text seems to hold an access token of kb."
    assert found(f"Use {broken} here.") == ""
    assert found(f"curl -H 'Authorization: Bearer {token}'").count("an access token of kb") == 1
    assert token not in str(flagging.credential(Document.read({"title": "A note", "body": token})))


# --- Issuing and revoking -----------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_token_is_kept_as_a_hash_with_all_that_was_decided(
    issue: Issue, people: SimpleNamespace, now: datetime
) -> None:
    made, token = issue(scopes=["export", "read"], by=people.administrator)

    row = AccessToken.objects.values().get()
    assert row == {
        "id": made.pk,
        "label": "status page",
        "owner_id": people.editor.pk,
        "hash": access_token.digest(token),
        "prefix": token[3:11],
        "scopes": ["read", "export"],
        "created_by_id": people.administrator.pk,
        "created_at": now,
        "expires_at": now + DAY,
        "last_used_at": None,
        "revoked_by_id": None,
        "revoked_at": None,
    }
    assert token not in str(row)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"label": " "}, "bad_label"),
        ({"label": "x" * 81}, "bad_label"),
        ({"label": "a\x00b"}, "bad_label"),
        ({"scopes": []}, "bad_scope"),
        ({"scopes": ["read", "write"]}, "bad_scope"),
        ({"expires_at": datetime.fromisoformat("2026-11-23T12:00Z")}, "bad_expiry"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(issue: Issue, facts: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        issue(**facts)

    assert (refused.value.code, AccessToken.objects.count()) == (code, 0)


@pytest.mark.django_db
def test_who_left_gets_no_token(issue: Issue, people: SimpleNamespace) -> None:
    people.editor.is_active = False
    people.editor.save()

    with pytest.raises(Refused, match="editor is not active"):
        issue()


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["editor", "reviewer", "auditor", "stranger"])
def test_only_administrators_issue_and_revoke(
    issue: Issue, people: SimpleNamespace, now: datetime, who: str
) -> None:
    made, _ = issue()
    by = getattr(people, who)

    with pytest.raises(Refused) as issuing_refused:
        issue("another", by=by)
    with pytest.raises(Refused) as revoking_refused:
        issuing.revoke(made, by=by, at=now)

    assert issuing_refused.value.code == revoking_refused.value.code == "not_allowed"
    assert AccessToken.objects.values_list("label", "revoked_at").get() == ("status page", None)


@pytest.mark.django_db
def test_one_owner_has_one_token_in_use_for_one_thing(
    issue: Issue, people: SimpleNamespace, now: datetime
) -> None:
    made, _ = issue()

    with pytest.raises(Refused, match="has a token “status page” already"):
        issue()
    issue(owner=people.second_editor)
    issuing.revoke(made, at=now)
    again, _ = issue()

    assert again.pk != made.pk


@pytest.mark.django_db
def test_a_token_is_valid_until_it_expires_is_revoked_or_its_owner_leaves(
    issue: Issue, people: SimpleNamespace, now: datetime
) -> None:
    issue("short")
    issue("long", expires_at=None)
    revoked, _ = issue("revoked")
    issuing.revoke(revoked, by=people.administrator, at=now)
    issue("of another", owner=people.second_editor)

    def labels(at: datetime) -> set[str]:
        return set(AccessToken.objects.valid(at).values_list("label", flat=True))

    assert labels(now) == {"short", "long", "of another"}
    assert labels(now + DAY) == {"long"}
    people.editor.is_active = False
    people.editor.save()
    assert labels(now) == {"of another"}


@pytest.mark.django_db
def test_what_a_token_may_is_never_changed_and_nothing_of_it_goes(issue: Issue, now: datetime) -> None:
    made, _ = issue()
    issuing.revoke(made, at=now)

    for change in ({"scopes": ["export"]}, {"expires_at": None}, {"revoked_at": None}, {"hash": "0" * 64}):
        with pytest.raises(IntegrityError, match="revoked_never_changed"), transaction.atomic():
            AccessToken.objects.update(**change)
    with pytest.raises(IntegrityError, match="revoked_never_changed"), transaction.atomic():
        AccessToken.objects.all().delete()
    with pytest.raises(Refused, match="was revoked already"):
        issuing.revoke(made, at=now)


@pytest.mark.django_db
def test_use_is_noted_once_a_minute(issue: Issue, now: datetime, django_assert_num_queries: Any) -> None:
    made, _ = issue()

    for seconds in (0, 30, 59, 90):
        metering.note_use(made.pk, at=now + timedelta(seconds=seconds))

    made.refresh_from_db()
    assert made.last_used_at == now + timedelta(seconds=90)


@pytest.mark.django_db
def test_auditors_read_who_issued_and_revoked_what(
    issue: Issue, people: SimpleNamespace, now: datetime
) -> None:
    made, _ = issue(by=people.administrator)
    issuing.revoke(made, at=now + DAY)

    found = events.page(Wanted(), size=9)

    told = [(event.words, event.who and event.who.username, event.note) for event in found]
    note = f"status page (kb_{made.prefix}…) of editor"
    assert told == [
        ("Access token revoked", None, note),
        ("Access token issued", "administrator", note),
    ]


# --- In the admin -------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_token_is_issued_shown_once_and_revoked_after_a_question(
    administrator: Client, people: SimpleNamespace
) -> None:
    form = filled(administrator.get(ADD), "token-form")
    assert form == {
        "csrfmiddlewaretoken": form["csrfmiddlewaretoken"],
        "label": "",
        "owner": "administrator",
        "scopes": "read",
        "lasts": "365",
    }

    issued = administrator.post(ADD, {**form, "label": "status page", "owner": "editor"})
    made = AccessToken.objects.get()
    token = re.findall(r'value="(kb_\w+)"', issued.content.decode())[0]
    own_page = administrator.get(f"{LIST}{made.pk}/change/")
    again = administrator.post(ADD, {**form, "label": "status page", "owner": "editor"})
    question = administrator.get(f"{LIST}{made.pk}/revoke/")

    assert access_token.digest(token) == made.hash
    assert (made.owner, made.created_by) == (people.editor, people.administrator)
    assert "no-store" in issued.headers["Cache-Control"]
    assert token not in own_page.content.decode()
    # Sent again by a reload it makes no second one.
    assert (again.status_code, AccessToken.objects.count()) == (400, 1)
    assert "has a token “status page” already" in again.content.decode()
    assert (question.status_code, AccessToken.objects.filter(revoked_at=None).count()) == (200, 1)

    revoked = administrator.post(f"{LIST}{made.pk}/revoke/", follow=True)
    made.refresh_from_db()

    assert made.revoked_by == people.administrator
    assert "is revoked: the next request with it is refused." in revoked.content.decode()
    assert (
        "was revoked already" in administrator.post(f"{LIST}{made.pk}/revoke/", follow=True).content.decode()
    )
    assert administrator.get(f"{LIST}{made.pk}/revoke/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"label": ""}, "This field is required."),
        ({"label": "x\x00"}, "Null characters are not allowed."),
        ({"owner": "nobody"}, "Nobody here has the username “nobody”."),
        ({"owner": ""}, "This field is required."),
        ({"scopes": "write"}, "Select a valid choice."),
        ({"lasts": "1000000"}, "Select a valid choice."),
    ],
)
def test_a_wrong_form_is_told_at_its_place(administrator: Client, typed: dict[str, str], said: str) -> None:
    form = {"label": "status page", "owner": "editor", "scopes": "read", "lasts": "30"}

    answer = administrator.post(ADD, {**form, **typed})

    assert (answer.status_code, AccessToken.objects.count()) == (400, 0)
    assert said in answer.content.decode()


@pytest.mark.django_db
def test_the_list_tells_each_state_with_as_many_queries_for_three_as_for_one(
    administrator: Client, issue: Issue, people: SimpleNamespace, django_assert_num_queries: Any
) -> None:
    at = datetime.now().astimezone()
    issue("first", at=at, expires_at=at + 90 * DAY)

    def shown(queries: int) -> list[str]:
        with django_assert_num_queries(queries):
            page = administrator.get(LIST).content.decode()
        return re.findall(r'field-state[^>]*><span class="kb-label kb-label--\w+">([^<]+)', page)

    one = shown(8)
    issuing.revoke(issue("second", at=at, expires_at=None)[0], at=at)
    issue("third", at=at, expires_at=at + 3 * DAY)
    issue("fourth", at=at - 9 * DAY, expires_at=at - DAY)
    issue("fifth", at=at, expires_at=None, owner=people.second_editor)
    people.second_editor.is_active = False
    people.second_editor.save()

    assert one == ["Active"]
    assert shown(8) == ["Owner is inactive", "Expired", "Expires soon", "Revoked", "Active"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "sees"), [("administrator", True), ("auditor", True), ("reviewer", False), ("editor", False)]
)
def test_auditors_see_tokens_and_change_none(
    client: Client, issue: Issue, people: SimpleNamespace, who: str, sees: bool
) -> None:
    made, _ = issue()
    client.force_login(getattr(people, who))
    may = who == "administrator"
    seen, done = (200 if sees else 403), (200 if may else 403)

    got = {
        path: client.get(f"{LIST}{path}").status_code
        for path in ("", f"{made.pk}/change/", f"{made.pk}/revoke/", "add/")
    }

    assert got == {"": seen, f"{made.pk}/change/": seen, f"{made.pk}/revoke/": done, "add/": done}
    assert client.post(f"{LIST}{made.pk}/change/", {"label": "x"}).status_code == 403
    assert client.post(f"{LIST}{made.pk}/delete/", {"post": "yes"}).status_code == 403
    if not may:
        assert client.post(f"{LIST}{made.pk}/revoke/").status_code == 403
        assert client.post(ADD, {"label": "x"}).status_code == 403
    made.refresh_from_db()
    assert made.revoked_at is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["9999/change/", "x/change/", "9999/revoke/", "99999999999999999999/change/"]
)
def test_no_such_token_is_not_found(administrator: Client, path: str) -> None:
    assert administrator.get(f"{LIST}{path}").status_code == 404


@pytest.mark.django_db
def test_an_empty_list_says_what_would_be_there(administrator: Client) -> None:
    assert (
        "No access tokens yet."
        in administrator.get(reverse("admin:kb_accesstoken_changelist")).content.decode()
    )


# --- On the command line ------------------------------------------------------------------------------------
def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("token", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db
@pytest.mark.usefixtures("people")
def test_operators_issue_list_and_revoke() -> None:
    nothing, _ = run("list")
    token, told = run("issue", "feed", "--owner", "editor", "--scope", "changes", "--days", "0")
    made = AccessToken.objects.get()
    line, _ = run("list")
    entry = json.loads(run("list", "--json")[0])
    said, _ = run("revoke", str(made.pk))

    assert nothing.startswith("No tokens yet")
    assert access_token.digest(token.strip()) == made.hash
    assert told == f"Token {made.pk}, never expires. Keep it now: it is not shown again.\n"
    assert (made.scopes, made.expires_at, made.created_by) == (["changes"], None, None)
    assert f"active   feed (kb_{made.prefix}…): editor, changes, never expires, never used" in line
    assert entry == {
        "number": made.pk,
        "label": "feed",
        "prefix": f"kb_{made.prefix}",
        "owner": "editor",
        "scopes": ["changes"],
        "state": "active",
        "created_at": made.created_at.isoformat(),
        "expires_at": None,
        "last_used_at": None,
        "revoked_at": None,
    }
    assert said == f"Revoked: feed (kb_{made.prefix}…). The next request with it is refused.\n"
    assert "revoked  feed" in run("list")[0]


@pytest.mark.django_db
@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("issue", "x", "--owner", "nobody"), "Nobody here has the username “nobody”."),
        (("issue", "x", "--owner", "editor", "--scope", "write"), "invalid choice: 'write'"),
        (("issue", "x", "--owner", "editor", "--days", "-1"), "expected a number of days"),
        (("revoke", "7"), "“7” names no token"),
        (("revoke", "kb_0123456789"), "“kb_01234567” names no token"),
    ],
)
def test_a_wrong_command_is_told(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=re.escape(said)):
        run(*arguments)


@pytest.mark.django_db
def test_a_token_is_revoked_by_how_it_begins(issue: Issue) -> None:
    _, token = issue()

    run("revoke", token)

    assert AccessToken.objects.exclude(revoked_at=None).count() == 1


# --- At the API ---------------------------------------------------------------------------------------------
BOTH = pytest.mark.django_db(databases=["default", "reading"])
POSTS = "/api/v1/posts/"


@pytest.fixture
def lasting(issue: Issue) -> Issue:
    """Tokens that are valid while tests run."""
    return lambda label="status page", **facts: issue(label, **{"expires_at": None, **facts})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@BOTH
@pytest.mark.parametrize("access", ["public", "authenticated"])
def test_a_token_reads_where_its_scopes_let_it(
    client: Client, lasting: Issue, settings: Any, access: str
) -> None:
    settings.KB_READ_ACCESS = access
    _, reads = lasting("reads")
    _, follows = lasting("follows", scopes=["changes"])

    def got(token: str) -> dict[str, int]:
        paths = ("", "posts/", "entities/", "changes/", "schema/", "document-schema/", "nothing/")
        return {path: client.get(f"/api/v1/{path}", headers=bearer(token)).status_code for path in paths}

    about = {"": 200, "schema/": 200, "document-schema/": 200, "nothing/": 404}
    assert got(reads) == {**about, "posts/": 200, "entities/": 200, "changes/": 403}
    assert got(follows) == {**about, "posts/": 403, "entities/": 403, "changes/": 200}


@BOTH
def test_a_lacking_scope_is_named(client: Client, lasting: Issue) -> None:
    _, token = lasting()

    response = client.get("/api/v1/changes/", headers=bearer(token))

    problem = response.json()
    assert (response.status_code, problem["code"], problem["scope"]) == (403, "insufficient_scope", "changes")
    assert "lacks the scope “changes”" in problem["detail"]
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="kb", error="insufficient_scope", scope="changes"'
    )


@BOTH
@pytest.mark.parametrize("offered", ["", " ", "Bearer", "Bearer ", "Basic eDp5", "Bearer \xff"])
@pytest.mark.parametrize("path", ["v1/status/", "v1/nothing/", "v1/a%0Ab/", "v1/posts", "v2/", ""])
def test_an_authorization_header_without_a_token_is_refused_everywhere(
    client: Client, settings: Any, offered: str, path: str
) -> None:
    settings.KB_READ_ACCESS = "public"

    response = client.get(f"/api/{path}", HTTP_AUTHORIZATION=offered)

    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")


@BOTH
@pytest.mark.parametrize("access", ["public", "authenticated"])
def test_a_token_that_opens_nothing_is_refused_alike_whatever_the_reason(
    client: Client, lasting: Issue, people: SimpleNamespace, now: datetime, settings: Any, access: str
) -> None:
    settings.KB_READ_ACCESS = access
    revoked, of_revoked = lasting("revoked")
    issuing.revoke(revoked, at=now)
    _, of_leaver = lasting("of a leaver", owner=people.second_editor)
    people.second_editor.is_active = False
    people.second_editor.save()
    past = now - 900 * DAY
    _, expired = lasting("expired", at=past, expires_at=past + DAY)
    tokens = [of_revoked, of_leaver, expired, access_token.make()]

    answers = [
        client.get(path, headers=bearer(token)) for token in tokens for path in (POSTS, "/api/v1/nothing/")
    ]

    problems = [{**answer.json(), "request_id": ""} for answer in answers]
    heads = [
        {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}
        for answer in answers
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert [problem["code"] for problem in problems] == ["invalid_token"] * 8
    assert problems == [problems[0]] * 8
    assert heads == [heads[0] | {"Content-Length": head["Content-Length"]} for head in heads]
    assert heads[0]["WWW-Authenticate"] == 'Bearer realm="kb", error="invalid_token"'
    assert heads[0]["Cache-Control"] == "no-store"


@BOTH
@pytest.mark.parametrize(
    "offered",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer kb_" + "a" * 36,
        "Bearer kb_\x00",
        "Bearer " + "kb_" * 2000,
        "kb_" + "a" * 36,
        "Token kb_" + "a" * 36,
        "Basic a2I6a2I=",
        "Bearer é",
    ],
)
def test_what_is_no_token_is_never_taken_for_nobody(
    client: Client, settings: Any, people: SimpleNamespace, offered: str, django_assert_num_queries: Any
) -> None:
    settings.KB_READ_ACCESS = "public"
    client.force_login(people.stranger)

    with django_assert_num_queries(0):
        response = client.get(POSTS, headers={"Authorization": offered})

    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")


@BOTH
def test_a_token_costs_one_query_and_a_note_a_minute(
    client: Client, lasting: Issue, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.KB_READ_ACCESS = "public"
    made, token = lasting()

    with django_assert_num_queries(0):
        client.get(POSTS)
    with django_assert_num_queries(2):
        first = client.get(POSTS, headers=bearer(token))
    with django_assert_num_queries(1):
        second = client.get(POSTS, headers=bearer(token))

    made.refresh_from_db()
    assert first.status_code == second.status_code == 200
    assert made.last_used_at is not None


@BOTH
def test_a_revoked_token_is_refused_from_the_next_request_on(
    client: Client, lasting: Issue, now: datetime
) -> None:
    made, token = lasting()

    before = client.get(POSTS, headers=bearer(token))
    issuing.revoke(made, at=now)
    after = client.get(POSTS, headers=bearer(token))

    assert (before.status_code, after.status_code) == (200, 401)


@BOTH
def test_a_login_does_not_help_a_bad_token_and_caches_tell_them_apart(
    client: Client, people: SimpleNamespace
) -> None:
    client.force_login(people.stranger)

    logged_in = client.get(POSTS)
    refused = client.get(POSTS, headers=bearer(access_token.make()))

    assert (logged_in.status_code, refused.status_code) == (200, 401)
    assert logged_in.headers["Vary"] == refused.headers["Vary"] == "Authorization, Cookie"


@BOTH
def test_a_token_opens_the_api_alone(client: Client, lasting: Issue) -> None:
    _, token = lasting()

    pages = [client.get(path, headers=bearer(token)).status_code for path in ("/", "/admin/kb/post/")]

    assert pages == [302, 302]
