"""The SQL of imports. Each statement works on all rows of the staging table."""

from sqlalchemy import text

# Each staged row finds its few rows by an index, however large the tables are: they grow a hundredfold between two
# looks of the planner's statistics, and a plan made for small ones would be kept. For the same reason what is there
# already is asked for in scalar subqueries, which no planner turns into a join with a whole table. And a bitmap for
# each of those few rows costs more than the row.
PLAN_BY_INDEX = text("""
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true), set_config('enable_bitmapscan', 'off', true)""")

STAGING_TABLE = text("""
    CREATE TEMPORARY TABLE IF NOT EXISTS import_staged (
        line bigint, id uuid, external_id text, given_name text, family_name text, display_name text,
        language text, time_zone text, lifecycle_stage text, tags text[], email text, phone text, attributes jsonb,
        consents integer, person_id uuid, matches integer
    ) ON COMMIT DELETE ROWS""")

CLEAR_STAGING = text("TRUNCATE import_staged")

# An empty cell is NULL here: it changes nothing.
COPY_STAGED = """
    COPY import_staged (line, id, external_id, given_name, family_name, display_name, language, time_zone,
                        lifecycle_stage, tags, email, phone, attributes, consents)
    FROM STDIN (NULL '')"""

_BY_ADDRESS = """
    UPDATE import_staged s SET (person_id, matches) = (
        SELECT (array_agg(owner.person_id))[1], count(*)
        FROM (SELECT DISTINCT a.person_id FROM address a
              WHERE lower(a.value) = lower(s.{column}) AND a.kind = {kind} LIMIT 2) AS owner)
    WHERE (SELECT true FROM address a WHERE lower(a.value) = lower(s.{column}) AND a.kind = {kind} LIMIT 1)
    RETURNING line, person_id, matches"""

FIND_KNOWN = {
    "email": text(_BY_ADDRESS.format(column="email", kind=1)),
    "phone": text(_BY_ADDRESS.format(column="phone", kind=2)),
    "external_id": text("""
        UPDATE import_staged s SET (person_id, matches) = (
            SELECT p.id, 1 FROM person p WHERE p.external_id = s.external_id)
        WHERE (SELECT true FROM person p WHERE p.external_id = s.external_id)
        RETURNING line, person_id, matches"""),
}

# Rows whose external id somebody else has, or which give up the one that their person has.
EXTERNAL_IDS = text("""
    SELECT line, owner FROM (
        SELECT s.line, s.person_id, (SELECT p.id FROM person p WHERE p.external_id = s.external_id) AS owner,
               coalesce((SELECT p.external_id <> s.external_id FROM person p WHERE p.id = s.person_id), false)
                   AS releases
        FROM import_staged s WHERE s.external_id IS NOT NULL) AS claimed
    WHERE releases OR owner <> coalesce(person_id, '00000000-0000-0000-0000-000000000000') ORDER BY line""")

LEAVE_OUT = text("DELETE FROM import_staged WHERE line = ANY(:lines)")

# In the order of their ids, as everybody does who locks several, so that no two wait for each other.
LOCK = text("SELECT id FROM person WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")

ADD_ADDRESSES = text("""
    INSERT INTO address (person_id, kind, value, position)
    SELECT s.person_id, k.kind, k.value,
           coalesce((SELECT min(a.position) FROM address a WHERE a.person_id = s.person_id AND a.kind = k.kind), 1) - 1
    FROM import_staged s
    CROSS JOIN LATERAL (VALUES (CAST(1 AS smallint), s.email), (CAST(2 AS smallint), s.phone)) AS k (kind, value)
    WHERE s.person_id IS NOT NULL AND k.value IS NOT NULL AND (
        SELECT true FROM address a
        WHERE a.person_id = s.person_id AND a.kind = k.kind AND lower(a.value) = lower(k.value) LIMIT 1) IS NULL
    RETURNING person_id""")

CHANGE_PEOPLE = text("""
    UPDATE person p SET
        external_id = coalesce(s.external_id, p.external_id), given_name = coalesce(s.given_name, p.given_name),
        family_name = coalesce(s.family_name, p.family_name), display_name = coalesce(s.display_name, p.display_name),
        language = coalesce(s.language, p.language), time_zone = coalesce(s.time_zone, p.time_zone),
        lifecycle_stage = coalesce(s.lifecycle_stage, p.lifecycle_stage),
        tags = p.tags || ARRAY(SELECT tag FROM unnest(s.tags) AS tag WHERE tag <> ALL (p.tags)),
        attributes = p.attributes || s.attributes, version = p.version + 1, update_time = :now
    FROM import_staged s
    WHERE p.id = s.person_id AND (
        s.external_id IS DISTINCT FROM p.external_id AND s.external_id IS NOT NULL
        OR s.given_name <> p.given_name OR s.family_name <> p.family_name OR s.display_name <> p.display_name
        OR s.language <> p.language OR s.time_zone <> p.time_zone OR s.lifecycle_stage <> p.lifecycle_stage
        OR NOT s.tags <@ p.tags OR p.attributes || s.attributes <> p.attributes OR p.id = ANY(:touched))
    RETURNING p.id""")

CREATE_PEOPLE = text("""
    INSERT INTO person (id, external_id, given_name, family_name, display_name, language, time_zone, lifecycle_stage,
                        tags, attributes, create_time, update_time)
    SELECT id, external_id, coalesce(given_name, ''), coalesce(family_name, ''), coalesce(display_name, ''),
           coalesce(language, ''), coalesce(time_zone, ''), coalesce(lifecycle_stage, ''), coalesce(tags, '{}'),
           attributes, :now, :now
    FROM import_staged WHERE person_id IS NULL""")

CREATE_ADDRESSES = text("""
    INSERT INTO address (person_id, kind, value, position)
    SELECT s.id, k.kind, k.value, 0
    FROM import_staged s
    CROSS JOIN LATERAL (VALUES (CAST(1 AS smallint), s.email), (CAST(2 AS smallint), s.phone)) AS k (kind, value)
    WHERE s.person_id IS NULL AND k.value IS NOT NULL""")

# An entry's id is the fresh one of its row with the number of the consent at its end: still a UUIDv7, without the
# system call that each random one takes.
_CONSENT = """
    INSERT INTO consent (person_id, id, purpose, channel, state, basis, source, detail, create_time)
    SELECT {person}, CAST(overlay(CAST(s.id AS text) PLACING :number FROM 35) AS uuid), :purpose, :channel, :state,
           :basis, 'import', CAST(:evidence AS text) || s.line, :now
    FROM import_staged s WHERE s.consents & :bit <> 0 AND {those}"""

CREATE_CONSENT = text(_CONSENT.format(person="s.id", those="s.person_id IS NULL"))

_IN_FORCE = """s.person_id IS NOT NULL AND (
        SELECT c.state FROM consent c WHERE c.person_id = s.person_id AND c.purpose = :purpose
        AND c.channel = :channel AND c.in_force) {compared}"""

ADD_CONSENT = text(
    _CONSENT.format(person="s.person_id", those=_IN_FORCE.format(compared="IS NULL")) + " RETURNING person_id"
)

_WITHDRAWN = "SELECT count(*) FROM import_staged s WHERE s.consents & :bit <> 0 AND {those}"

WITHDRAWN = text(_WITHDRAWN.format(those=_IN_FORCE.format(compared="= 2")))

REMEMBER_KEYS = text("""
    INSERT INTO import_key (import_id, key) SELECT :import_id, unnest(CAST(:keys AS text[]))
    ON CONFLICT DO NOTHING RETURNING key""")
