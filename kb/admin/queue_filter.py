"""Turn what an address asks of the queue into its rows, and the sentence that says what is shown."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import QueryDict

from kb.admin.filters import CODES, ScoreFilter, words_of_flag
from kb.models import Entity, ImportRun, PostEntity, QueueItem

SAMPLE = 500  # open items, the most harmful first, that values to choose from are taken of
MOST = 25
LONGEST_QUERY = 2_000
BLOCKING = "blocking"
AGES = {"1": "more than a day", "7": "more than 7 days", "30": "more than 30 days", "90": "more than 90 days"}
FREE = "free"
CLAIMS = {FREE: "nobody", "me": "me"}


def _choice(label: str, choices: Iterable[tuple[str, str]]) -> forms.ChoiceField:
    messages = {"invalid_choice": "Got “%(value)s”: choose one of the list."}
    return forms.ChoiceField(
        label=label, choices=[("", "Any"), *choices], required=False, error_messages=messages
    )


def _text(label: str, longest: int, **attributes: Any) -> forms.CharField:
    attributes = {"autocomplete": "off", **attributes}
    return forms.CharField(
        label=label, max_length=longest, required=False, widget=forms.TextInput(attributes)
    )


class FilterForm(forms.Form):
    """What the queue is narrowed to. Each field is a part of the address; an empty one narrows nothing."""

    topic = _text("Topic", 500, list="kb-topics")
    flag = _choice("Flag", [(BLOCKING, "Any that blocks"), *((code, words_of_flag(code)) for code in CODES)])
    entity = _text("Entity", 600, list="kb-entities", placeholder="type:name")
    source = _text("Source", 60, list="kb-sources")
    author = _text("Author", 150, list="kb-authors")
    score = _choice(
        "Lowest score",
        [
            *((band, f"{low} to {high}") for band, (low, high) in ScoreFilter.BANDS.items()),
            ("none", "No scores"),
        ],
    )
    run = forms.IntegerField(
        label="Import run",
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        widget=forms.TextInput({"inputmode": "numeric", "list": "kb-runs", "autocomplete": "off"}),
    )
    age = _choice("Waiting", AGES.items())
    claim = _choice("Claimed by", CLAIMS.items())

    use_required_attribute = False

    def __init__(self, asked: Any, **options: Any) -> None:
        super().__init__(asked, auto_id="kb-filter-%s", **options)

    def clean_entity(self) -> str:
        kind, _, name = (part.strip() for part in self.cleaned_data["entity"].partition(":"))
        if not (kind or name):
            return ""
        if not (kind and name):
            raise forms.ValidationError("Write it as type:name, such as stack:python.")
        self.named = Entity.objects.filter(type=kind, name=name).first()
        if self.named is None:
            raise forms.ValidationError(f"No post names “{name[:60]}” as {kind[:60]}.")
        return f"{kind}:{name}"

    def clean_author(self) -> str:
        author = self.cleaned_data["author"]
        self.writer = User.objects.filter(username=author).first() if author else None
        if author and self.writer is None:
            raise forms.ValidationError(f"There is nobody with the name “{author[:60]}”.")
        return author

    def narrow(self, items: QuerySet[QueueItem], *, user: Any, at: datetime) -> QuerySet[QueueItem]:
        """The items that the form asks for; it was valid."""
        for name, value in self.given().items():
            if name == "claim":
                items = items.unclaimed(at) if value == FREE else items.held_by(user, at)
            else:
                items = items.filter(self._condition(name, value, at))
        return items

    def _condition(self, name: str, value: Any, at: datetime) -> Q:
        conditions: dict[str, Callable[[], Q]] = {
            "topic": lambda: Q(post__topic=value),
            "source": lambda: Q(post__source=value),
            "flag": lambda: Q(blocking__gt=0) if value == BLOCKING else Q(codes__contains=[value]),
            "entity": lambda: Q(post__in=self.named.post_entities.values("post")),
            "author": lambda: Q(writers__contains=[self.writer.pk]),
            "score": lambda: _scoring(value),
            "run": lambda: Q(post__head__import_run=value),
            "age": lambda: Q(since__lte=at - timedelta(days=int(value))),
        }
        return conditions[name]()

    def given(self) -> dict[str, Any]:
        """The fields that narrow anything, as the address names them."""
        return {name: value for name, value in self.cleaned_data.items() if value}

    @property
    def query(self) -> str:
        """The address's query, the same for all that mean the same."""
        return urlencode(self.given())

    def chips(self) -> list[dict[str, str]]:
        """What narrows the list, in words, each with the query that goes without it."""
        given = self.given()
        return [
            {
                "label": self[name].label,
                "value": str(dict(getattr(self.fields[name], "choices", ())).get(value, value)),
                "without": urlencode({other: given[other] for other in given if other != name}),
            }
            for name, value in given.items()
        ]


def _scoring(band: str) -> Q:
    bounds = ScoreFilter.BANDS.get(band)
    return Q(lowest_score__range=bounds) if bounds else Q(lowest_score=None)


def read(asked: Any) -> FilterForm:
    """The filter of an address, or of its query as a form or a saved filter carries it."""
    return FilterForm(QueryDict(asked[:LONGEST_QUERY]) if isinstance(asked, str) else asked)


def suggestions() -> dict[str, list[str]]:
    """Values to choose from, those that the most harmful items have most often: never all that there are."""
    items = QueueItem.objects.open().by_harm()
    sample = list(items.values_list("post", "post__topic", "post__source", "writers")[:SAMPLE])
    posts = [post for post, *_ in sample]
    entities = PostEntity.objects.filter(post__in=posts).values_list("entity__type", "entity__name")
    writers = User.objects.in_bulk(_commonest(pk for *_, pks in sample for pk in pks))
    runs = ImportRun.objects.order_by("-pk").values_list("pk", flat=True)[:MOST]
    return {
        "topics": _commonest(topic for _, topic, _, _ in sample),
        "sources": _commonest(source for _, _, source, _ in sample),
        "entities": _commonest(f"{kind}:{name}" for kind, name in entities.order_by()),
        "authors": sorted(user.username for user in writers.values()),
        "runs": [str(pk) for pk in runs],
    }


def _commonest(values: Iterable[Any]) -> list[Any]:
    return [value for value, _ in Counter(filter(None, values)).most_common(MOST)]
