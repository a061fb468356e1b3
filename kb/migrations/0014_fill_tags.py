"""Tag and count what is published, and let kb.flow.publishing alone write it from here on."""

from django.db import migrations

GUARD = "".join(
    f"""
CREATE TRIGGER kb_publishing_alone_writes_what_readers_see BEFORE INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION kb_publishing_alone_writes_what_readers_see();
"""
    for table in ("kb_publishedfacet", "kb_publishedtag")
)
UNGUARD = "".join(
    f"DROP TRIGGER kb_publishing_alone_writes_what_readers_see ON {table};"
    for table in ("kb_publishedfacet", "kb_publishedtag")
)
HAS = """
    SELECT p.id, p.published_at, p.withhold_at, has.kind, has.value FROM kb_publication p, LATERAL (
        SELECT 'all', '' UNION SELECT 'topic', p.topic WHERE p.topic <> ''
        UNION SELECT 'stack', unnest(p.stack) UNION SELECT 'tool', unnest(p.tools)
        UNION SELECT 'entity', unnest(p.entities) UNION SELECT 'checklist', unnest(p.checklists)
        UNION SELECT 'difficulty', p.difficulty WHERE p.difficulty <> ''
        UNION SELECT 'code_language', p.code_language WHERE p.code_language <> ''
        UNION SELECT 'ai_involved', p.ai_involved::text) AS has (kind, value)
"""
FILL = f"""
SELECT set_config('kb.publishing', 'on', true);
UPDATE kb_publication p SET reviewed_at = greatest(published_at, (
    SELECT max(v.at) FROM kb_verification v JOIN kb_revision r ON r.id = v.revision_id
     WHERE r.post_id = p.post_id AND v.fingerprint = p.fingerprint));
INSERT INTO kb_publishedfacet (kind, value, posts, staying, withhold_at)
SELECT kind, value, count(*), count(*) FILTER (WHERE withhold_at IS NULL),
       CASE WHEN count(*) FILTER (WHERE withhold_at IS NULL) = 0 THEN max(withhold_at) END
  FROM ({HAS}) AS named GROUP BY kind, value;
INSERT INTO kb_publishedtag (facet_id, published_at, publication_id)
SELECT f.id, named.published_at, named.id FROM ({HAS}) AS named JOIN kb_publishedfacet f USING (kind, value);
SELECT set_config('kb.publishing', 'off', true);
"""  # noqa: S608  (our own names)
EMPTY = "TRUNCATE kb_publishedtag, kb_publishedfacet;"


class Migration(migrations.Migration):
    dependencies = [("kb", "0013_tag_publications")]

    operations = [migrations.RunSQL(FILL, EMPTY), migrations.RunSQL(GUARD, UNGUARD)]
