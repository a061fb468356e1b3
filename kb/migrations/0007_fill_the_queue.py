"""Put what waits already into the queue, and note who wrote each post's newest revision."""

from django.db import migrations

EDITED_BY = """
UPDATE kb_post p SET edited_by_id = r.author_id FROM kb_revision r
 WHERE r.id = p.head_id AND r.author_id IS NOT NULL;
"""

# Ranks as kb.flow.queueing gives them.
QUEUE = """
INSERT INTO kb_queueitem (post_id, since, outcome, rank, points, blocking, codes, readers, lowest_score, writers)
SELECT id, since, '', points * 86400 - floor(extract(epoch FROM since))::bigint, points, blocking, codes, readers,
       lowest_score, writers
  FROM (
    SELECT p.id,
           coalesce(f.since, p.updated_at) AS since,
           coalesce(f.points, 0) + 30 * least(coalesce(f.blocking, 0), 3)
               + 10 * floor(log(coalesce(p.view_count, 0) + 1))::int AS points,
           coalesce(f.blocking, 0) AS blocking,
           coalesce(f.codes, '{}') AS codes,
           coalesce(p.view_count, 0) AS readers,
           least(p.quality, p.freshness, p.depth, p.clarity) AS lowest_score,
           ARRAY(
               SELECT DISTINCT own.author_id::bigint FROM kb_revision own
                WHERE own.post_id = p.id AND own.author_id IS NOT NULL
                  AND (own.fingerprint = h.fingerprint
                       OR own.origin <> 'aside' AND own.number <= h.number AND own.number > coalesce((
                           SELECT max(r.number) FROM kb_revision r JOIN kb_decision d ON d.revision_id = r.id
                            WHERE r.post_id = p.id AND r.number < h.number AND d.verdict = 'approve'), 0))
           ) AS writers
      FROM kb_post p
      JOIN kb_revision h ON h.id = p.head_id
      LEFT JOIN LATERAL (
           SELECT min(raised_at) AS since,
                  count(*) FILTER (WHERE severity = 'blocking') AS blocking,
                  array_agg(DISTINCT code ORDER BY code) AS codes,
                  60 * max((code = 'credential')::int) + 40 * max((code = 'removed_markup')::int)
                      + 10 * max((code = 'low_score')::int) AS points
             FROM kb_flag WHERE revision_id = p.head_id AND closed_at IS NULL
      ) f ON true
     WHERE p.state = 'waiting'
  ) waiting;
"""


class Migration(migrations.Migration):
    dependencies = [("kb", "0006_desk_rights")]

    operations = [
        migrations.RunSQL(EDITED_BY, migrations.RunSQL.noop),
        migrations.RunSQL(QUEUE, "DELETE FROM kb_queueitem;"),
    ]
