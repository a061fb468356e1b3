"""Let no approval that lapsed or was withdrawn stand for what others wrote before it."""

from importlib import import_module

from django.db import migrations

BEFORE = import_module("kb.migrations.0005_desk_guards").DECISION
ANY = "AND NOT EXISTS (SELECT FROM kb_decision t WHERE t.takes_back_id = d.id);"
HOLDING = """AND NOT EXISTS (SELECT FROM kb_decision t WHERE t.takes_back_id = d.id)
       AND NOT EXISTS (SELECT FROM kb_schedule s WHERE s.decision_id = d.id AND s.outcome = 'lapsed')
       AND NOT EXISTS (
           SELECT FROM kb_decision w JOIN kb_revision x ON x.id = w.revision_id
            WHERE x.post_id = revision.post_id AND w.verdict = 'withdraw' AND w.id > d.id
       );"""


class Migration(migrations.Migration):
    dependencies = [("kb", "0010_find_by_source")]

    operations = [migrations.RunSQL(BEFORE.replace(ANY, HOLDING), BEFORE)]
