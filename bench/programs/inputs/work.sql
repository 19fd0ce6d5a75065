-- Inserts, indexes, joins, updates and text in a database in memory.
--
-- Usage: sqlite3 :memory: "CREATE TABLE size(rows); INSERT INTO size VALUES(N)"
--        ".read work.sql"
--
-- Prints sums that depend on every row. Nothing is random.

CREATE TABLE events(id INTEGER PRIMARY KEY, kind TEXT, value INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < (SELECT rows FROM size))
INSERT INTO events
SELECT i, 'kind' || (i * 7919 % 1009), i * 104729 % 100003,
  substr('abcdefghijklmnopqrstuvwxyz', 1 + i % 20, i % 13) || hex(i * 31) FROM n;

CREATE INDEX by_kind ON events(kind, value);
CREATE INDEX by_note ON events(note);
CREATE TABLE kinds AS
  SELECT kind, count(*) AS number, group_concat(note, ',') AS notes
  FROM events GROUP BY kind;
CREATE UNIQUE INDEX kinds_kind ON kinds(kind);

SELECT count(*), sum(length(notes)) FROM kinds;
SELECT kind, number, sum(value), max(note) FROM events JOIN kinds USING (kind)
  GROUP BY kind ORDER BY 3 DESC, 1 LIMIT 5;
SELECT count(*), sum(a.value - b.value) FROM events a JOIN events b
  ON a.kind = b.kind AND b.value BETWEEN a.value - 1500 AND a.value - 1;
SELECT count(DISTINCT upper(substr(note, 1, 4)) || replace(kind, 'kind', 'k'))
  FROM events;
SELECT sum(length(json_object('id', id, 'kind', kind, 'note', note)))
  FROM events;
SELECT sum(json_extract(json_object('v', value, 'n', note), '$.v')) FROM events;

UPDATE events SET note = note || '-' || kind WHERE value % 3 = 0;
DELETE FROM events WHERE value % 5 = 0;
INSERT OR REPLACE INTO events
  SELECT id + (id % 7), kind, value + 1, lower(note) FROM events WHERE id % 4 = 0;
SELECT count(*), sum(length(note)), sum(value) FROM events;
SELECT sum(rank * value % 1009) FROM (
  SELECT value, row_number() OVER (PARTITION BY kind ORDER BY note, id) AS rank
  FROM events);
SELECT length(group_concat(note, '')) FROM (SELECT note FROM events ORDER BY note);
VACUUM;
PRAGMA integrity_check;
