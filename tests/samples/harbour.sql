-- A harbour authority: small, and with everything in it that makes a schema awkward for a library that did not make it.
-- Everything is in a schema of its own, which no search path names.
CREATE SCHEMA harbour;

CREATE DOMAIN harbour.imo_number AS bigint CHECK (VALUE BETWEEN 1000000 AND 9999999);
CREATE DOMAIN harbour.port_code AS varchar(5) CHECK (VALUE ~ '^[A-Z]{5}$');
CREATE DOMAIN harbour.remarks AS text[];
CREATE TYPE harbour.cargo_kind AS ENUM ('bulk', 'container', 'liquid', 'ro-ro');
CREATE TYPE harbour."Crane State" AS ENUM ('idle', 'it''s "busy"', 'broken');

-- The two refer to each other: a cycle.
CREATE TABLE harbour.port (
    code harbour.port_code PRIMARY KEY,
    name varchar(60) NOT NULL,
    place point,
    rule jsonpath,
    facilities text[] NOT NULL DEFAULT '{}',
    depths real[],
    opened date,
    network cidr,
    remarks harbour.remarks,
    master_id smallint UNIQUE
);
CREATE TABLE harbour.officer (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    port_code harbour.port_code NOT NULL REFERENCES harbour.port (code),
    superior_id smallint REFERENCES harbour.officer (id),
    badge uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    rights jsonb NOT NULL DEFAULT '{"enter": true}',
    salary money,
    shift interval,
    starts time,
    "from" time with time zone,
    photo bytea
);
ALTER TABLE harbour.port ADD FOREIGN KEY (master_id) REFERENCES harbour.officer (id);

CREATE TABLE harbour.ship (
    dropped_long_ago integer,
    imo harbour.imo_number PRIMARY KEY,
    name text NOT NULL,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', name)) STORED,
    flag character(2) NOT NULL,
    built smallint CHECK (built > 1800),
    length double precision,
    tonnage numeric(12, 3),
    holds integer[],
    kinds harbour.cargo_kind[] NOT NULL DEFAULT '{}',
    transponder macaddr,
    signals bit(4),
    log json,
    home_code harbour.port_code REFERENCES harbour.port (code) ON DELETE SET NULL
);
ALTER TABLE harbour.ship DROP COLUMN dropped_long_ago;

CREATE TABLE harbour.berth (
    port_code harbour.port_code REFERENCES harbour.port (code) ON DELETE CASCADE,
    number smallint,
    crane harbour."Crane State" NOT NULL DEFAULT 'idle',
    reach numrange,
    closed datemultirange NOT NULL DEFAULT '{}',
    PRIMARY KEY (port_code, number)
);

-- A foreign key of two columns, and two keys to one table.
CREATE TABLE harbour.call (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 5000000000) PRIMARY KEY,
    imo harbour.imo_number NOT NULL REFERENCES harbour.ship (imo),
    port_code harbour.port_code NOT NULL,
    berth_number smallint NOT NULL,
    pilot_id smallint NOT NULL REFERENCES harbour.officer (id),
    inspector_id smallint REFERENCES harbour.officer (id),
    stay tstzrange NOT NULL,
    announced timestamp without time zone NOT NULL,
    changed timestamp with time zone,
    FOREIGN KEY (port_code, berth_number) REFERENCES harbour.berth (port_code, number)
);
CREATE FUNCTION harbour.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed = '2020-02-02 02:02:02+00';
    RETURN NEW;
END $$;
CREATE TRIGGER note_change BEFORE INSERT OR UPDATE ON harbour.call
    FOR EACH ROW EXECUTE FUNCTION harbour.note_change();

CREATE TABLE harbour.cargo (
    call_id bigint REFERENCES harbour.call (id) ON DELETE CASCADE,
    line smallint,
    kind harbour.cargo_kind NOT NULL,
    weight numeric NOT NULL,
    PRIMARY KEY (call_id, line)
);

-- Who may pilot what: the table between the two, with a column of its own.
CREATE TABLE harbour.licence (
    since date NOT NULL DEFAULT CURRENT_DATE,
    officer_id smallint REFERENCES harbour.officer (id),
    imo harbour.imo_number REFERENCES harbour.ship (imo),
    PRIMARY KEY (officer_id, imo)
);

-- The key is made by a trigger: no default says so.
CREATE SEQUENCE harbour.notices;
CREATE TABLE harbour.notice (
    id text PRIMARY KEY,
    port_code harbour.port_code NOT NULL REFERENCES harbour.port (code),
    body varchar(100) NOT NULL
);
CREATE FUNCTION harbour.number_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.id = 'N' || nextval('harbour.notices');
    RETURN NEW;
END $$;
CREATE TRIGGER number_notice BEFORE INSERT ON harbour.notice
    FOR EACH ROW EXECUTE FUNCTION harbour.number_notice();

CREATE TABLE harbour."Tide Reading" (
    "Taken At" timestamp with time zone,
    port_code harbour.port_code REFERENCES harbour.port (code),
    "level (m)" real NOT NULL,
    "100%" boolean NOT NULL DEFAULT false,
    PRIMARY KEY (port_code, "Taken At")
) PARTITION BY RANGE ("Taken At");
CREATE TABLE harbour.tide_2024 PARTITION OF harbour."Tide Reading" FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE harbour.tide_other PARTITION OF harbour."Tide Reading" DEFAULT;

-- --- data -----------------------------------------------------------------------------------------------------------

INSERT INTO harbour.port
SELECT 'PORT' || chr(64 + n), 'Port "' || n || '" d''Été', CASE WHEN n % 3 > 0 THEN point(n, -n / 7.0) END,
    CASE n WHEN 2 THEN '$."tide"[*]'::jsonpath END,
    CASE WHEN n % 4 > 0 THEN ARRAY['crane', 'a,b', 'c"d', 'e\f', '', 'NULL'] ELSE '{}' END,
    CASE WHEN n % 2 = 0 THEN ARRAY[n / 3.0, NULL, 'Infinity'::real] END,
    CASE n WHEN 1 THEN 'infinity'::date WHEN 2 THEN '-infinity' ELSE '1900-01-01'::date + n * 1000 END,
    ('10.' || n || '.0.0/16')::cidr,
    CASE WHEN n % 5 = 0 THEN ARRAY['mind the sandbank', NULL] END
FROM generate_series(1, 26) AS n;

INSERT INTO harbour.officer (name, port_code, superior_id, rights, salary, shift, starts, "from", photo)
SELECT 'Officer ' || n, 'PORT' || chr(65 + n % 26), CASE WHEN n > 10 THEN n / 10 END,
    jsonb_build_object('level', n, 'zones', jsonb_build_array('a', n, NULL, 1.5)), n * 1000.5::numeric::money,
    CASE WHEN n % 2 = 0 THEN make_interval(days => n % 3, hours => n % 12, secs => n / 8.0) END,
    CASE WHEN n % 3 = 0 THEN time '06:00' + n * interval '1 minute' END,
    CASE WHEN n % 5 = 0 THEN '06:30:00.5+02'::timetz END, decode(md5(n::text), 'hex')
FROM generate_series(1, 200) AS n;
UPDATE harbour.port SET master_id = ascii(right(code, 1)) - 64 WHERE code < 'PORTX';

INSERT INTO harbour.ship (imo, name, flag, built, length, tonnage, holds, kinds, transponder, signals, log, home_code)
SELECT 1000000 + n * 7, 'Ship ' || n || ' ⚓', (ARRAY['NO', 'DK', 'S'])[1 + n % 3], 1900 + n % 120, n * 0.1,
    CASE WHEN n % 10 = 0 THEN 'NaN' ELSE n * 1.001 END,
    CASE n % 3 WHEN 0 THEN ARRAY[[n, 1], [NULL, 2]] WHEN 1 THEN '{}'::int[] END,
    CASE WHEN n % 2 = 0 THEN '{bulk,ro-ro}' ELSE '{}' END::harbour.cargo_kind[],
    CASE WHEN n % 4 = 0 THEN '08:00:2b:01:02:03'::macaddr END, (n % 16)::bit(4),
    CASE WHEN n % 7 = 0 THEN '{"b": 1,  "a": [1.5]}'::json END,
    CASE WHEN n % 6 > 0 THEN 'PORT' || chr(65 + n % 26) END
FROM generate_series(1, 300) AS n;

INSERT INTO harbour.berth
SELECT 'PORT' || chr(64 + p), b, (enum_range(NULL::harbour."Crane State"))[1 + (p + b) % 3],
    CASE b WHEN 1 THEN numrange(1.5, NULL) WHEN 2 THEN 'empty' WHEN 3 THEN numrange(p, p + b, '[]') END,
    CASE WHEN p % 3 = 0 THEN '{[2024-01-01,2024-01-05), [2024-12-24,)}' ELSE '{}' END::datemultirange
FROM generate_series(1, 26) AS p, generate_series(1, 4) AS b;

INSERT INTO harbour.call (imo, port_code, berth_number, pilot_id, inspector_id, stay, announced)
SELECT 1000000 + (1 + n % 300) * 7, 'PORT' || chr(65 + n % 26), 1 + n % 4, 1 + n % 200,
    CASE WHEN n % 3 = 0 THEN 1 + n % 17 END,
    tstzrange('2024-01-01 12:00+00'::timestamptz + n * interval '7 hours',
        CASE WHEN n % 9 > 0 THEN '2024-01-02 12:00+00'::timestamptz + n * interval '7 hours' END),
    timestamp '2023-12-31 23:59:59.999999' + n * interval '7 hours'
FROM generate_series(1, 1000) AS n;

INSERT INTO harbour.cargo
SELECT 5000000000 + n, l, (enum_range(NULL::harbour.cargo_kind))[1 + (n + l) % 4], n * l * 0.001
FROM generate_series(0, 999) AS n, generate_series(1, 1 + n % 3) AS l;

INSERT INTO harbour.licence
SELECT date '2020-01-01' + n, 1 + n % 200, 1000000 + (1 + n % 300) * 7 FROM generate_series(1, 600) AS n;

INSERT INTO harbour.notice (port_code, body)
SELECT 'PORT' || chr(65 + n % 26), 'Notice no. ' || n FROM generate_series(1, 40) AS n;

INSERT INTO harbour."Tide Reading"
SELECT '2023-12-30 00:00+00'::timestamptz + n * interval '1 hour', 'PORT' || chr(64 + p), sin(n) * p, n % 2 = 0
FROM generate_series(0, 100) AS n, generate_series(1, 26) AS p;

-- --- views ------------------------------------------------------------------------------------------------------------

CREATE VIEW harbour.busy_port AS
SELECT p.code, p.name AS "Port's name", count(c.id) AS calls, max(c.announced) AS last_announced
FROM harbour.port p LEFT JOIN harbour.call c ON c.port_code = p.code GROUP BY p.code, p.name;
CREATE VIEW harbour.weight_by_kind AS
SELECT kind, sum(weight) AS weight, array_agg(DISTINCT line ORDER BY line) AS lines FROM harbour.cargo GROUP BY kind;
CREATE MATERIALIZED VIEW harbour.fleet AS
SELECT flag, count(*) AS ships, avg(length) AS mean_length, range_agg(numrange(length::numeric, length::numeric, '[]'))
    AS lengths FROM harbour.ship GROUP BY flag;
