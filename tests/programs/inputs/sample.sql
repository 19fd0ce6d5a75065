PRAGMA cache_size = 500;
CREATE TABLE events(id INTEGER PRIMARY KEY, kind TEXT, value INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO events SELECT i, 'kind' || (i * 7919 % 101), i * 104729 % 10007,
  substr('abcdefghijklmnopqrstuvwxyz', 1 + i % 20, i % 13) || hex(i * 31) FROM n;
CREATE INDEX by_kind ON events(kind, value);
CREATE INDEX by_note ON events(note);
SELECT kind, count(*), sum(value), max(note) FROM events GROUP BY kind ORDER BY 3 DESC LIMIT 5;
UPDATE events SET note = note || '!' WHERE value % 3 = 0;
DELETE FROM events WHERE value % 5 = 0;
SELECT count(*), sum(length(note)) FROM events;
SELECT count(*) FROM events a JOIN events b ON a.note = b.note AND a.id < b.id;
SELECT length(group_concat(note, ',')) FROM (SELECT note FROM events ORDER BY note);
SELECT json_array_length(json_group_array(json_object('k', kind, 'v', value))) FROM events;
VACUUM;
PRAGMA integrity_check;
