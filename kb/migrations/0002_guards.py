"""Keep in the database what must hold whatever code runs: the gate, and that what was frozen stays frozen."""

from django.db import migrations

READERS_TABLES = (
    "kb_publication",
    "kb_publishedrevision",
    "kb_publishedentity",
    "kb_publishedchecklist",
    "kb_change",
)

FINGERPRINT = """
ALTER TABLE kb_revision ADD CONSTRAINT kb_a_fingerprint_is_the_hash_of_its_document
    CHECK (fingerprint = encode(sha256(convert_to(canonical, 'UTF8')), 'hex'));
"""

IDENTITY = """
CREATE FUNCTION kb_an_identity_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.slug, NEW.reference, NEW.source, NEW.source_id) IS DISTINCT FROM
       (OLD.slug, OLD.reference, OLD.source, OLD.source_id) THEN
        RAISE EXCEPTION 'kb_an_identity_stays: slug, reference, source and source id of post % are fixed', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kb_an_identity_stays BEFORE UPDATE ON kb_post
    FOR EACH ROW EXECUTE FUNCTION kb_an_identity_stays();
"""

# Demo content alone may go: in a transaction that says so, and only of posts whose source is kb-demo.
FROZEN = """
CREATE FUNCTION kb_what_was_frozen_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    demo boolean := false;
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('kb.removing_demo', true) = 'on' THEN
        IF TG_TABLE_NAME = 'kb_revision' THEN
            SELECT p.source = 'kb-demo' INTO demo FROM kb_post p WHERE p.id = OLD.post_id;
        ELSE
            SELECT p.source = 'kb-demo' INTO demo
              FROM kb_revision r JOIN kb_post p ON p.id = r.post_id WHERE r.id = OLD.revision_id;
        END IF;
        IF demo THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'kb_what_was_frozen_stays: % of %, row %, is never allowed', TG_OP, TG_TABLE_NAME, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_revisions_stay BEFORE UPDATE OR DELETE ON kb_revision
    FOR EACH ROW EXECUTE FUNCTION kb_what_was_frozen_stays();
CREATE TRIGGER kb_decisions_stay BEFORE UPDATE OR DELETE ON kb_decision
    FOR EACH ROW EXECUTE FUNCTION kb_what_was_frozen_stays();
CREATE TRIGGER kb_source_records_stay BEFORE UPDATE OR DELETE ON kb_sourcerecord
    FOR EACH ROW EXECUTE FUNCTION kb_what_was_frozen_stays();
"""

DECISION = """
CREATE FUNCTION kb_a_decision_names_what_was_seen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    revision kb_revision;
    approved integer;
BEGIN
    SELECT * INTO STRICT revision FROM kb_revision WHERE id = NEW.revision_id;
    IF NEW.fingerprint <> revision.fingerprint THEN
        RAISE EXCEPTION 'kb_a_decision_names_what_was_seen: % is not the fingerprint of revision %',
            NEW.fingerprint, NEW.revision_id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.verdict <> 'approve' THEN
        RETURN NEW;
    END IF;
    SELECT coalesce(max(r.number), 0) INTO approved
      FROM kb_revision r JOIN kb_decision d ON d.revision_id = r.id
     WHERE r.post_id = revision.post_id AND r.number < revision.number AND d.verdict = 'approve';
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
CREATE TRIGGER kb_a_decision_names_what_was_seen BEFORE INSERT ON kb_decision
    FOR EACH ROW EXECUTE FUNCTION kb_a_decision_names_what_was_seen();
"""

PUBLICATION = """
CREATE FUNCTION kb_only_what_was_approved_is_published() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kb_decision d JOIN kb_revision r ON r.id = d.revision_id
         WHERE d.id = NEW.approval_id AND d.verdict = 'approve'
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
CREATE TRIGGER kb_only_what_was_approved_is_published BEFORE INSERT OR UPDATE ON kb_publication
    FOR EACH ROW EXECUTE FUNCTION kb_only_what_was_approved_is_published();

CREATE FUNCTION kb_only_approved_revisions_are_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM kb_decision d
         WHERE d.revision_id = NEW.revision_id AND d.verdict = 'approve' AND d.fingerprint = NEW.fingerprint
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
CREATE TRIGGER kb_only_approved_revisions_are_listed BEFORE INSERT OR UPDATE ON kb_publishedrevision
    FOR EACH ROW EXECUTE FUNCTION kb_only_approved_revisions_are_listed();
"""

# TRUNCATE asks no trigger of rows.
KEPT = """
CREATE FUNCTION kb_records_are_never_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'kb_records_are_never_emptied: TRUNCATE of %', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON kb_revision
    EXECUTE FUNCTION kb_records_are_never_emptied();
CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON kb_decision
    EXECUTE FUNCTION kb_records_are_never_emptied();
CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON kb_sourcerecord
    EXECUTE FUNCTION kb_records_are_never_emptied();
CREATE TRIGGER kb_records_are_never_emptied BEFORE TRUNCATE ON kb_flag
    EXECUTE FUNCTION kb_records_are_never_emptied();
"""

FLAG = """
CREATE FUNCTION kb_a_flag_is_closed_never_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF current_setting('kb.removing_demo', true) = 'on' AND EXISTS (
            SELECT FROM kb_revision r JOIN kb_post p ON p.id = r.post_id
             WHERE r.id = OLD.revision_id AND p.source = 'kb-demo'
        ) THEN
            RETURN OLD;
        END IF;
    ELSIF OLD.closed_at IS NULL AND
          (NEW.revision_id, NEW.code, NEW.severity, NEW.raised_by_id) IS NOT DISTINCT FROM
          (OLD.revision_id, OLD.code, OLD.severity, OLD.raised_by_id) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'kb_a_flag_is_closed_never_removed: % of flag %', TG_OP, OLD.id
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER kb_a_flag_is_closed_never_removed BEFORE UPDATE OR DELETE ON kb_flag
    FOR EACH ROW EXECUTE FUNCTION kb_a_flag_is_closed_never_removed();
"""

# What readers get is written by the verbs of kb.flow.publishing, in a transaction that says so.
WRITER = """
CREATE FUNCTION kb_publishing_alone_writes_what_readers_see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('kb.publishing', true), '') <> 'on' THEN
        RAISE EXCEPTION 'kb_publishing_alone_writes_what_readers_see: % of %', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
""" + "".join(
    f"""
CREATE TRIGGER kb_publishing_alone_writes_what_readers_see BEFORE INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION kb_publishing_alone_writes_what_readers_see();
"""
    for table in READERS_TABLES
)

UNDO = "".join(
    f"DROP TRIGGER kb_publishing_alone_writes_what_readers_see ON {table};" for table in READERS_TABLES
)
UNDO += """
DROP TRIGGER kb_a_flag_is_closed_never_removed ON kb_flag;
DROP TRIGGER kb_records_are_never_emptied ON kb_flag;
DROP TRIGGER kb_records_are_never_emptied ON kb_sourcerecord;
DROP TRIGGER kb_records_are_never_emptied ON kb_decision;
DROP TRIGGER kb_records_are_never_emptied ON kb_revision;
DROP TRIGGER kb_only_approved_revisions_are_listed ON kb_publishedrevision;
DROP TRIGGER kb_only_what_was_approved_is_published ON kb_publication;
DROP TRIGGER kb_a_decision_names_what_was_seen ON kb_decision;
DROP TRIGGER kb_source_records_stay ON kb_sourcerecord;
DROP TRIGGER kb_decisions_stay ON kb_decision;
DROP TRIGGER kb_revisions_stay ON kb_revision;
DROP TRIGGER kb_an_identity_stays ON kb_post;
DROP FUNCTION kb_only_approved_revisions_are_listed, kb_only_what_was_approved_is_published,
    kb_a_decision_names_what_was_seen, kb_what_was_frozen_stays, kb_an_identity_stays,
    kb_publishing_alone_writes_what_readers_see, kb_a_flag_is_closed_never_removed,
    kb_records_are_never_emptied;
ALTER TABLE kb_revision DROP CONSTRAINT kb_a_fingerprint_is_the_hash_of_its_document;
"""


class Migration(migrations.Migration):
    dependencies = [("kb", "0001_initial")]

    operations = [
        migrations.RunSQL(
            FINGERPRINT + IDENTITY + FROZEN + DECISION + PUBLICATION + KEPT + FLAG + WRITER, UNDO
        ),
    ]
