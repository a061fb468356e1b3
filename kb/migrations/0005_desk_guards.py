"""Keep in the database that what was taken back or is not due reaches nobody, and that what was said stays."""

import re
from importlib import import_module

from django.db import migrations

BEFORE = import_module("kb.migrations.0002_guards")


def _function(sql: str) -> str:
    """The function in this text, to be put in the place of its namesake."""
    found = re.search(r"CREATE FUNCTION .*?END \$\$;", sql, re.DOTALL)
    return found.group().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


LISTED = BEFORE.PUBLICATION[BEFORE.PUBLICATION.index("CREATE FUNCTION kb_only_approved_revisions") :]
OLD = _function(BEFORE.DECISION) + _function(BEFORE.PUBLICATION) + _function(LISTED)

DECISION = """
CREATE OR REPLACE FUNCTION kb_a_decision_names_what_was_seen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    revision kb_revision;
    approved integer;
BEGIN
    SELECT * INTO STRICT revision FROM kb_revision WHERE id = NEW.revision_id;
    IF NEW.fingerprint <> revision.fingerprint THEN
        RAISE EXCEPTION 'kb_a_decision_names_what_was_seen: % is not the fingerprint of revision %',
            NEW.fingerprint, NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.verdict = 'take_back' AND NOT EXISTS (
        SELECT FROM kb_decision d LEFT JOIN kb_schedule s ON s.decision_id = d.id
         WHERE d.id = NEW.takes_back_id AND d.revision_id = NEW.revision_id AND d.reviewer_id = NEW.reviewer_id
           AND (d.verdict = 'request_changes' OR d.verdict = 'approve' AND s.outcome <> 'published')
    ) THEN
        RAISE EXCEPTION 'kb_what_reached_readers_is_not_taken_back: decision %, reviewer %',
            NEW.takes_back_id, NEW.reviewer_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.verdict <> 'approve' THEN
        RETURN NEW;
    END IF;
    SELECT coalesce(max(r.number), 0) INTO approved
      FROM kb_revision r JOIN kb_decision d ON d.revision_id = r.id
     WHERE r.post_id = revision.post_id AND r.number < revision.number AND d.verdict = 'approve'
       AND NOT EXISTS (SELECT FROM kb_decision t WHERE t.takes_back_id = d.id);
    IF NOT NEW.self_approved AND EXISTS (
        SELECT FROM kb_revision own
         WHERE own.post_id = revision.post_id AND own.author_id = NEW.reviewer_id
           AND (own.fingerprint = revision.fingerprint
                OR own.number > approved AND own.number <= revision.number AND own.origin <> 'aside')
    ) THEN
        RAISE EXCEPTION 'kb_nobody_approves_their_own_work: revision %, reviewer %',
            NEW.revision_id, NEW.reviewer_id USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM kb_flag
         WHERE revision_id = NEW.revision_id AND severity = 'blocking' AND closed_at IS NULL
    ) THEN
        RAISE EXCEPTION 'kb_no_approval_over_a_blocking_flag: revision %', NEW.revision_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""

# An approval is effective if it was not taken back and its time, if it has one, has come.
EFFECTIVE = """
CREATE FUNCTION kb_is_effective(decision bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM kb_decision d WHERE d.id = decision AND d.verdict = 'approve')
       AND NOT EXISTS (SELECT FROM kb_decision t WHERE t.takes_back_id = decision)
       AND NOT EXISTS (SELECT FROM kb_schedule s WHERE s.decision_id = decision AND s.outcome <> 'published')
$$;
"""
PUBLICATION = """
CREATE OR REPLACE FUNCTION kb_only_what_was_approved_is_published() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kb_decision d JOIN kb_revision r ON r.id = d.revision_id
         WHERE d.id = NEW.approval_id AND kb_is_effective(d.id)
           AND r.id = NEW.revision_id AND r.post_id = NEW.post_id AND r.number = NEW.number
           AND d.fingerprint = NEW.fingerprint AND r.fingerprint = NEW.fingerprint
    ) THEN
        RAISE EXCEPTION 'kb_only_what_was_approved_is_published: post %, revision %',
            NEW.post_id, NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (
        SELECT FROM kb_decision d JOIN kb_revision r ON r.id = d.revision_id
         WHERE r.post_id = NEW.post_id AND d.verdict = 'withdraw' AND d.id > NEW.approval_id
    ) THEN
        RAISE EXCEPTION 'kb_what_was_withdrawn_needs_a_new_approval: post %, revision %',
            NEW.post_id, NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION kb_only_approved_revisions_are_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kb_decision d
         WHERE d.revision_id = NEW.revision_id AND d.fingerprint = NEW.fingerprint AND kb_is_effective(d.id)
           AND NOT EXISTS (
               SELECT FROM kb_decision w JOIN kb_revision r ON r.id = w.revision_id
                WHERE w.verdict = 'withdraw' AND w.id > d.id
                  AND r.post_id = (SELECT post_id FROM kb_revision WHERE id = NEW.revision_id)
           )
    ) THEN
        RAISE EXCEPTION 'kb_only_approved_revisions_are_listed: revision %', NEW.revision_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""

# As in 0002: demo content alone may go, in a transaction that says so.
SAID = """
CREATE TRIGGER kb_verifications_stay BEFORE UPDATE OR DELETE ON kb_verification
    FOR EACH ROW EXECUTE FUNCTION kb_what_was_frozen_stays();
CREATE TRIGGER kb_reports_stay BEFORE UPDATE OR DELETE ON kb_report
    FOR EACH ROW EXECUTE FUNCTION kb_what_was_frozen_stays();

CREATE FUNCTION kb_what_belongs_to_a_decision_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF current_setting('kb.removing_demo', true) = 'on' AND EXISTS (
            SELECT FROM kb_decision d JOIN kb_revision r ON r.id = d.revision_id JOIN kb_post p ON p.id = r.post_id
             WHERE d.id = OLD.decision_id AND p.source = 'kb-demo'
        ) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_TABLE_NAME = 'kb_schedule' THEN
        IF OLD.outcome = 'pending' AND OLD.decision_id = NEW.decision_id
           AND OLD.publish_at = NEW.publish_at THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'kb_what_belongs_to_a_decision_stays: % of %, row %', TG_OP, TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_ticks_stay BEFORE UPDATE OR DELETE ON kb_tick
    FOR EACH ROW EXECUTE FUNCTION kb_what_belongs_to_a_decision_stays();
CREATE TRIGGER kb_schedules_stay BEFORE UPDATE OR DELETE ON kb_schedule
    FOR EACH ROW EXECUTE FUNCTION kb_what_belongs_to_a_decision_stays();

CREATE FUNCTION kb_a_comment_is_resolved_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF current_setting('kb.removing_demo', true) = 'on' AND EXISTS (
            SELECT FROM kb_revision r JOIN kb_post p ON p.id = r.post_id
             WHERE r.id = OLD.revision_id AND p.source = 'kb-demo'
        ) THEN
            RETURN OLD;
        END IF;
    ELSIF (NEW.revision_id, NEW.field, NEW.quote, NEW.text, NEW.by_id, NEW.at) IS NOT DISTINCT FROM
          (OLD.revision_id, OLD.field, OLD.quote, OLD.text, OLD.by_id, OLD.at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'kb_a_comment_is_resolved_never_changed: % of comment %', TG_OP, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_a_comment_is_resolved_never_changed BEFORE UPDATE OR DELETE ON kb_comment
    FOR EACH ROW EXECUTE FUNCTION kb_a_comment_is_resolved_never_changed();

CREATE FUNCTION kb_criteria_are_retired_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.name, NEW.version, NEW.topic, NEW.items, NEW.made_by_id, NEW.made_at)
       IS NOT DISTINCT FROM (OLD.name, OLD.version, OLD.topic, OLD.items, OLD.made_by_id, OLD.made_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'kb_criteria_are_retired_never_changed: % of %', TG_OP, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_criteria_are_retired_never_changed BEFORE UPDATE OR DELETE ON kb_criteria
    FOR EACH ROW EXECUTE FUNCTION kb_criteria_are_retired_never_changed();
"""
KEPT = ("kb_verification", "kb_report", "kb_tick", "kb_schedule", "kb_comment", "kb_criteria")
EMPTIED = "".join(
    f"CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON {table}"
    " EXECUTE FUNCTION kb_records_are_never_emptied();\n"
    for table in KEPT
)

UNDO = "".join(f"DROP TRIGGER kb_records_are_never_emptied ON {table};\n" for table in KEPT)
UNDO += """
DROP TRIGGER kb_criteria_are_retired_never_changed ON kb_criteria;
DROP TRIGGER kb_a_comment_is_resolved_never_changed ON kb_comment;
DROP TRIGGER kb_schedules_stay ON kb_schedule;
DROP TRIGGER kb_ticks_stay ON kb_tick;
DROP TRIGGER kb_reports_stay ON kb_report;
DROP TRIGGER kb_verifications_stay ON kb_verification;
"""
UNDO += OLD
UNDO += """
DROP FUNCTION kb_is_effective, kb_what_belongs_to_a_decision_stays, kb_a_comment_is_resolved_never_changed,
    kb_criteria_are_retired_never_changed;
"""


class Migration(migrations.Migration):
    dependencies = [("kb", "0004_review_desk")]

    operations = [migrations.RunSQL(EFFECTIVE + DECISION + PUBLICATION + SAID + EMPTIED, UNDO)]
