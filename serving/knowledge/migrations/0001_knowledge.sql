-- Metrics, forecasts, decisions, the lease and the heartbeat.
-- Run by maximus_owner. Partitions carry no grants of their own: everything goes through the parents.

-- One primary key and no second index on metrics: a second one costs the rate at which samples can be copied in.
CREATE TABLE knowledge.metrics (
    target      text             NOT NULL,
    sensor      text             NOT NULL,
    observed_at timestamptz      NOT NULL,
    value       double precision NOT NULL,
    PRIMARY KEY (target, sensor, observed_at)
) PARTITION BY RANGE (observed_at);

CREATE TABLE knowledge.forecasts (
    target        text             NOT NULL,
    sensor        text             NOT NULL,
    issued_at     timestamptz      NOT NULL,
    at            timestamptz      NOT NULL,
    mean          double precision NOT NULL,
    lower         double precision NOT NULL,
    upper         double precision NOT NULL,
    model_version text             NOT NULL,
    PRIMARY KEY (target, sensor, issued_at, at),
    CHECK (lower <= mean AND mean <= upper AND at > issued_at)
) PARTITION BY RANGE (issued_at);

-- last_at, count and state change with every turn that repeats a no-op: no index holds them, so that the change stays
-- on its page.
CREATE TABLE knowledge.decisions (
    id            uuid             NOT NULL,
    target        text             NOT NULL,
    first_at      timestamptz      NOT NULL,
    last_at       timestamptz      NOT NULL,
    count         bigint           NOT NULL CHECK (count >= 1),
    epoch         bigint           NOT NULL CHECK (epoch >= 1),
    trigger       text             NOT NULL,
    kind          text             NOT NULL,
    mode          text             NOT NULL,
    level         text             NOT NULL,
    is_dry_run    boolean          NOT NULL,
    reason        text             NOT NULL CHECK (reason <> ''),
    plan          jsonb,
    plan_digest   text,
    verdicts      jsonb            NOT NULL,
    state         jsonb            NOT NULL,
    confidence    double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    model_version text             NOT NULL,
    PRIMARY KEY (id, first_at),
    CHECK (first_at <= last_at),
    CHECK ((plan IS NULL) = (plan_digest IS NULL))
) PARTITION BY RANGE (first_at);
CREATE INDEX decisions_by_time ON knowledge.decisions (first_at DESC, id DESC);
CREATE INDEX decisions_by_target ON knowledge.decisions (target, first_at DESC, id DESC);

CREATE TABLE knowledge.lease (
    name       text        PRIMARY KEY,
    holder     text        NOT NULL,
    epoch      bigint      NOT NULL CHECK (epoch >= 0),
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO knowledge.lease (name, holder, epoch, expires_at) VALUES ('loop', '', 0, '-infinity');

CREATE TABLE knowledge.heartbeat (
    name         text        PRIMARY KEY,
    holder       text        NOT NULL,
    epoch        bigint      NOT NULL,
    pid          integer     NOT NULL,
    started_at   timestamptz NOT NULL,
    beat_at      timestamptz NOT NULL,
    turn_at      timestamptz,
    turn_seconds double precision,
    turns        bigint      NOT NULL,
    state        text        NOT NULL
        CHECK (state IN ('starting', 'observing', 'leading', 'standby', 'suspended')),
    detail       jsonb       NOT NULL
) WITH (fillfactor = 50);

-- Makes every monthly partition from `since` to `until`. Built aside and attached, which does not stop readers or
-- writers of the other months. The advisory lock keeps two callers from making the same one.
CREATE FUNCTION knowledge.ensure_partitions(
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
    FOREACH parent IN ARRAY ARRAY['metrics', 'forecasts', 'decisions'] LOOP
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

-- Drops the months of raw metrics and forecasts of which every row is older than `keep_days`. Decisions stay.
CREATE FUNCTION knowledge.drop_expired(keep_days integer DEFAULT 90) RETURNS text[]
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
        WHERE link.inhparent IN ('knowledge.metrics'::regclass, 'knowledge.forecasts'::regclass)
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

REVOKE ALL ON FUNCTION knowledge.ensure_partitions(date, date), knowledge.drop_expired(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION knowledge.ensure_partitions(date, date), knowledge.drop_expired(integer) TO maximus_app;

-- The loop adds facts; of a decision it may only say that it was taken again. Nobody but the owner deletes.
GRANT SELECT, INSERT ON knowledge.metrics, knowledge.forecasts, knowledge.decisions TO maximus_app;
GRANT UPDATE (last_at, count, state, confidence) ON knowledge.decisions TO maximus_app;
GRANT SELECT, UPDATE (holder, epoch, expires_at) ON knowledge.lease TO maximus_app;
GRANT SELECT, INSERT, UPDATE ON knowledge.heartbeat TO maximus_app;
GRANT SELECT ON knowledge.metrics, knowledge.forecasts, knowledge.decisions, knowledge.lease, knowledge.heartbeat
    TO maximus_read;
