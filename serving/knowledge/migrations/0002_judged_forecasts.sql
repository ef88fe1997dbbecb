-- What champion and challengers expected at each bin, kept to judge them by.
-- One row for each version and bin, with arrays over the series: so they are written and read, and the names of a
-- thousand targets are compressed instead of being keys of a thousand rows. Single precision is enough to judge by.

CREATE TABLE knowledge.judged_forecasts (
    issued_at     timestamptz NOT NULL,
    model_version text        NOT NULL,
    role          text        NOT NULL,
    targets       text[]      NOT NULL,
    sensors       text[]      NOT NULL,
    next_mean     real[]      NOT NULL,
    next_lower    real[]      NOT NULL,
    next_upper    real[]      NOT NULL,
    hour_mean     real[]      NOT NULL,
    PRIMARY KEY (issued_at, model_version),
    CHECK (role ~ '^(champion|challenger-[a-z0-9][a-z0-9_-]*)$'),
    CHECK (cardinality(targets) = cardinality(sensors) AND cardinality(targets) = cardinality(next_mean)
       AND cardinality(targets) = cardinality(next_lower) AND cardinality(targets) = cardinality(next_upper)
       AND cardinality(targets) = cardinality(hour_mean))
) PARTITION BY RANGE (issued_at);

GRANT SELECT, INSERT ON knowledge.judged_forecasts TO maximus_app;
GRANT SELECT ON knowledge.judged_forecasts TO maximus_read;

-- As before, and of the new table too: makes every monthly partition from `since` to `until`. Built aside and attached, which does not stop readers or
-- writers of the other months. The advisory lock keeps two callers from making the same one.
CREATE OR REPLACE FUNCTION knowledge.ensure_partitions(
    until date,
    since date DEFAULT (pg_catalog.now() AT TIME ZONE 'UTC')::date - 90
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    parent text;
    month  date;
    child  text;
    made   integer := 0;
BEGIN
    IF until - since > 1200 THEN
        RAISE EXCEPTION 'partitions from % to % are more than 40 months', since, until
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(7016996765293437283);
    FOREACH parent IN ARRAY ARRAY['metrics', 'forecasts', 'decisions', 'judged_forecasts'] LOOP
        month := date_trunc('month', since::timestamp)::date;
        WHILE month <= until LOOP
            child := parent || '_' || to_char(month, 'YYYY_MM');
            IF to_regclass('knowledge.' || child) IS NULL THEN
                EXECUTE format('CREATE TABLE knowledge.%I (LIKE knowledge.%I INCLUDING ALL)', child, parent);
                IF parent = 'decisions' THEN
                    EXECUTE format('ALTER TABLE knowledge.%I SET (fillfactor = 70)', child);
                END IF;
                EXECUTE format(
                    'ALTER TABLE knowledge.%I ATTACH PARTITION knowledge.%I FOR VALUES FROM (%L) TO (%L)',
                    parent, child, month::timestamp AT TIME ZONE 'UTC',
                    (month + interval '1 month') AT TIME ZONE 'UTC');
                made := made + 1;
            END IF;
            month := (month + interval '1 month')::date;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- As before, and of the new table too: drops the months of raw metrics and forecasts of which every row is older than `keep_days`. Decisions stay.
CREATE OR REPLACE FUNCTION knowledge.drop_expired(keep_days integer DEFAULT 90) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
    child   record;
    dropped text[] := ARRAY[]::text[];
BEGIN
    IF keep_days IS NULL OR keep_days < 90 THEN
        RAISE EXCEPTION 'raw data is kept for at least 90 days, not %', keep_days
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(7016996765293437283);
    FOR child IN
        SELECT partition.relname AS name
        FROM pg_inherits AS link
        JOIN pg_class AS partition ON partition.oid = link.inhrelid
        WHERE link.inhparent IN ('knowledge.metrics'::regclass, 'knowledge.forecasts'::regclass,
                                'knowledge.judged_forecasts'::regclass)
          AND partition.relname ~ '_\d{4}_\d{2}$'
          AND to_date(right(partition.relname, 7), 'YYYY_MM') + interval '1 month' <= now() - make_interval(days => keep_days)
        ORDER BY partition.relname
    LOOP
        EXECUTE format('DROP TABLE knowledge.%I', child.name);
        dropped := dropped || child.name::text;
    END LOOP;
    RETURN dropped;
END
$$;
