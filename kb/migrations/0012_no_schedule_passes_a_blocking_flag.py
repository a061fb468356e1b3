"""Let no scheduled approval take effect over a blocking flag that was raised meanwhile."""

import re
from importlib import import_module

from django.db import migrations

SAID = import_module("kb.migrations.0005_desk_guards").SAID
BEFORE = re.search(
    r"CREATE FUNCTION kb_what_belongs_to_a_decision_stays.*?END \$\$;", SAID, re.DOTALL
).group()
BEFORE = BEFORE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
ENDS = "    ELSIF TG_TABLE_NAME = 'kb_schedule' THEN\n"
GUARDED = BEFORE.replace(
    ENDS,
    ENDS
    + """        IF NEW.outcome = 'published' AND EXISTS (
            SELECT FROM kb_flag f JOIN kb_decision d ON d.revision_id = f.revision_id
             WHERE d.id = NEW.decision_id AND f.severity = 'blocking' AND f.closed_at IS NULL
        ) THEN
            RAISE EXCEPTION 'kb_no_schedule_passes_a_blocking_flag: decision %', NEW.decision_id
                USING ERRCODE = 'check_violation';
        END IF;
""",
)


class Migration(migrations.Migration):
    dependencies = [("kb", "0011_only_what_holds_vouches")]

    operations = [migrations.RunSQL(GUARDED, BEFORE)]
