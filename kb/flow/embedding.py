"""Turn what is published into vectors by which it is found by its meaning.

Nothing but approved content comes here: what is embedded is the revision of a publication. Vectors are no
part of publishing, so that nobody who approves waits for a model to load: the next run of upkeep makes them,
and `manage.py meaning` all that lack. One of content that changed since counts for nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import Error, connection, transaction

from kb import meaning
from kb.errors import Refused
from kb.flow import publishing
from kb.meaning import Embedder, Vector
from kb.models import Change, Publication, Upkeep

BATCH = 100  # publications in one transaction, for which publishers wait
OLDEST = (0, 7)  # pgvector from which there is halfvec

_EXTENSION = """
    SELECT coalesce(installed_version, default_version), installed_version IS NOT NULL
      FROM pg_available_extensions WHERE name = 'vector'
"""
_COLUMN = """
    SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'kb_publishedvector'::regclass
                    AND attname = 'vector' AND NOT attisdropped)
"""
_COUNT = """
    SELECT count(*), count(*) FILTER (WHERE v.fingerprint = p.fingerprint AND v.model = %s)
      FROM kb_publication p LEFT JOIN kb_publishedvector v ON v.publication_id = p.id
"""
_INDEXES = """
    SELECT i.relname, x.indisvalid, pg_get_indexdef(i.oid)
      FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
     WHERE x.indrelid = 'kb_publishedvector'::regclass AND i.relname LIKE 'kb\\_publishedvector\\_near%'
"""
# Only of what is still what it was when it was embedded.
_STORE = """
    INSERT INTO kb_publishedvector (publication_id, model, fingerprint, vector)
    SELECT p.id, %s, p.fingerprint, new.vector::halfvec
      FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (id, fingerprint, vector)
      JOIN kb_publication p ON p.id = new.id AND p.fingerprint = new.fingerprint
    ON CONFLICT (publication_id) DO UPDATE
       SET model = EXCLUDED.model, fingerprint = EXCLUDED.fingerprint, vector = EXCLUDED.vector
"""
_LACKING = """
    SELECT p.id FROM kb_publication p WHERE {within} AND NOT EXISTS (
        SELECT FROM kb_publishedvector v
         WHERE v.publication_id = p.id AND v.fingerprint = p.fingerprint AND v.model = %s)
     ORDER BY p.id LIMIT %s
"""
INDEX = "kb_publishedvector_near"


@dataclass(frozen=True, slots=True)
class State:
    """Whether search by meaning is on, and of how many publications there are vectors."""

    why_not: str  # "" when it is on
    model: str
    published: int
    embedded: int
    is_indexed: bool


def state() -> State:
    model = meaning.embedder()
    if model is None:
        return State(meaning.why_not(), "", 0, 0, is_indexed=False)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [model.name])
        published, embedded = cursor.fetchone()
    indexed = any(valid and _literal(model) in definition for _, valid, definition in _indexes())
    return State(_why_not_stored(), model.name, published, embedded, indexed)


def _why_not_stored() -> str:
    if _has_column():
        return ""
    version, installed = _extension()
    if not version:
        return "the database server has no pgvector: its administrator has to install it"
    if _numbers(version) < OLDEST:
        return f"the database has pgvector {version}, too old: 0.7 or later is needed"
    how = "run manage.py meaning" if installed else "run manage.py meaning, which creates the extension"
    return f"no vectors are kept yet: {how}"


def set_up() -> Embedder:
    """Make room for vectors. Raises Refused `no_meaning` with the way out where that cannot be."""
    model = meaning.embedder()
    if model is None:
        raise Refused(f"Search by meaning is off: {meaning.why_not()}.", code="no_meaning")
    if _has_column():
        return model
    version, _ = _extension()
    if not version or _numbers(version) < OLDEST:
        raise Refused(f"Search by meaning is off: {_why_not_stored()}.", code="no_meaning")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            cursor.execute("ALTER TABLE kb_publishedvector ADD COLUMN IF NOT EXISTS vector halfvec")
    except Error as error:
        told = str(error).partition("\n")[0]
        raise Refused(
            f"Search by meaning is off: this user may not set it up ({told}). An administrator of the server "
            "has to run, in this database: CREATE EXTENSION vector; then run manage.py meaning again.",
            code="no_meaning",
        ) from error
    return model


def fill(model: Embedder) -> Iterator[int]:
    """Embed all that lacks a vector of this model; give how many, batch by batch. Needs `set_up`."""
    last, upto = 0, Change.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    while ids := _lacking("p.id > %s", last, model):
        yield _embed(model, ids)
        last = ids[-1]
    Upkeep.objects.filter(embedded_to__lt=upto).update(embedded_to=upto)


def keep_up(most: int) -> int:
    """Embed what was published since the last run; how many. Nothing where vectors are not kept."""
    model = meaning.embedder()
    row = Upkeep.objects.filter(pk=1).first()
    if model is None or row is None or not _has_column():
        return 0
    told = list(Change.objects.filter(pk__gt=row.embedded_to).order_by("pk").values_list("pk", "slug")[:most])
    if not told:
        return 0
    ids, done = _lacking("p.slug = ANY(%s)", [slug for _, slug in told], model, most=most), 0
    for first in range(0, len(ids), BATCH):
        done += _embed(model, ids[first : first + BATCH])
    Upkeep.objects.filter(pk=1).update(embedded_to=told[-1][0])
    return done


def index(model: Embedder) -> None:
    """Let the nearest be found without looking at all. After filling: one by one would take longer."""
    literal = _literal(model)
    kept = False
    with connection.cursor() as cursor:
        for name, valid, definition in _indexes():
            if valid and literal in definition:
                kept = True
            else:
                cursor.execute(f"DROP INDEX {name}")
        if kept:
            return
        # Publishing goes on meanwhile, where nobody called this within a transaction.
        manner = "" if connection.in_atomic_block else "CONCURRENTLY"
        cursor.execute(
            f"CREATE INDEX {manner} {INDEX} ON kb_publishedvector"
            f" USING hnsw ((vector::halfvec({model.dimensions})) halfvec_cosine_ops) WHERE model = {literal}"
        )


def _lacking(within: str, value: int | list[str], model: Embedder, most: int = BATCH) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_LACKING.format(within=within), [value, model.name, most])
        return [pk for (pk,) in cursor.fetchall()]


def _embed(model: Embedder, ids: Sequence[int]) -> int:
    rows = list(Publication.objects.filter(pk__in=ids).select_related("revision").order_by("pk"))
    vectors = meaning.of_documents(model, [row.revision.document for row in rows])
    columns = (
        [row.pk for row in rows],
        [row.fingerprint for row in rows],
        [as_text(vector) for vector in vectors],
    )
    with transaction.atomic(), connection.cursor() as cursor:
        publishing.queue_up()
        cursor.execute(_STORE, [model.name, *columns])
        return int(cursor.rowcount)


def as_text(vector: Vector) -> str:
    """As pgvector reads it; 7 digits are more than a half-precision number has."""
    return f"[{','.join(f'{value:.7g}' for value in vector)}]"


def _literal(model: Embedder) -> str:
    # In the index's condition and in every query that shall use it: a parameter would prove nothing.
    return "'{}'".format(model.name.replace("'", "''"))


def _has_column() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_COLUMN)
        return bool(cursor.fetchone()[0])


def _extension() -> tuple[str, bool]:
    with connection.cursor() as cursor:
        cursor.execute(_EXTENSION)
        return cursor.fetchone() or ("", False)


def _indexes() -> list[tuple[str, bool, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_INDEXES)
        return list(cursor.fetchall())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
