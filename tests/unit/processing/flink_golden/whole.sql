CREATE TEMPORARY FUNCTION hw_frame AS 'org.headwater.flink.Frame' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_revision AS 'org.headwater.flink.Revision' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_newer AS 'org.headwater.flink.Newer' LANGUAGE JAVA;

CREATE TEMPORARY TABLE `in0` (
  `flight_id` STRING NOT NULL,
  `origin` STRING NOT NULL,
  `event_id` STRING NOT NULL,
  `occurred_at` BIGINT NOT NULL,
  `recorded_at` BIGINT NOT NULL,
  `kind` STRING NOT NULL,
  `revision` BIGINT NOT NULL,
  `~time` AS TO_TIMESTAMP_LTZ(`recorded_at` / 100000, 3),
  WATERMARK FOR `~time` AS `~time` - INTERVAL '0.001' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'flights.departures.v1',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.isolation.level' = 'read_committed',
  'properties.group.id' = 'airports.hourly.v1-flink',
  'scan.startup.mode' = 'earliest-offset',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = 'http://registry:8081',
  'value.avro-confluent.schema' = '{"type": "record", "name": "Any", "fields": [{"name": "flight_id", "type": "string"}, {"name": "origin", "type": "string"}, {"name": "event_id", "type": "string"}, {"name": "occurred_at", "type": "long"}, {"name": "recorded_at", "type": "long"}, {"name": "kind", "type": "string"}, {"name": "revision", "type": "long"}]}'
);

CREATE TEMPORARY VIEW `hw_rows` AS
SELECT `~time`, `recorded_at` - MOD(`recorded_at`, 100000) + 99999 AS `~tick`, `recorded_at` AS `~recorded_at`, `kind` AS `~kind`, hw_revision(`revision`) AS `~revision`, 0 AS `~input`, `flight_id` AS `~key`, `event_id` AS `~id`, (`kind` <> 'retract') AS `~live`, `occurred_at`, `origin`
FROM `in0`;

CREATE TEMPORARY VIEW `hw_newest` AS
SELECT `window_time` AS `~time`, `~key`, `~id`, `~tick`, `~live`, `~revision`, `occurred_at`, `origin` FROM (
  SELECT `~key`, `~id`, `~tick`, `~live`, `~revision`, `occurred_at`, `origin`, `window_start`, `window_end`, `window_time`, ROW_NUMBER() OVER (PARTITION BY `window_start`, `window_end`, `~key`, `~id` ORDER BY `~revision` DESC) AS `~place`
  FROM TABLE(TUMBLE(TABLE `hw_rows`, DESCRIPTOR(`~time`), INTERVAL '0.001' SECOND))
)
WHERE `~place` = 1;

CREATE TEMPORARY VIEW `hw_risen` AS
SELECT `~time`, `~key`, `~id`, `~tick`, `~live`, `~revision`, `occurred_at`, `origin` FROM (
  SELECT *, hw_newer(`~revision`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `~newer` FROM `hw_newest`
)
WHERE `~newer`;

CREATE TEMPORARY VIEW `hw_versions` AS
SELECT `~time`, `~tick`, `~live`, `occurred_at`, `origin`, LAG(`~live`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_~live`, LAG(`occurred_at`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_occurred_at`, LAG(`origin`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_origin`
FROM `hw_risen`;

CREATE TEMPORARY VIEW `hw_changes` AS
SELECT `~time`, `~tick`, CAST(-1 AS BIGINT) AS `~sign`, `~old_occurred_at` AS `occurred_at`, `~old_origin` AS `origin`
FROM `hw_versions`
WHERE `~old_~live`
UNION ALL
SELECT `~time`, `~tick`, CAST(1 AS BIGINT) AS `~sign`, `occurred_at`, `origin`
FROM `hw_versions`
WHERE `~live`;

CREATE TEMPORARY VIEW `hw_placed` AS
SELECT `~time`, `~tick`, `~sign`, `occurred_at`, `origin`, CAST(-62135596800000000 AS BIGINT) AS `~start`
FROM `hw_changes`;

CREATE TEMPORARY VIEW `hw_running` AS
SELECT `~time`, `~tick`, `~sign`, `origin`, `~start`, SUM(`~sign`) OVER `w` AS `~members`
FROM `hw_placed`
WINDOW `w` AS (PARTITION BY `origin`, `~start` ORDER BY `~time` RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW `hw_cells` AS
SELECT `window_time` AS `~time`, `~tick`, `origin`, `~start`, `~members` FROM (
  SELECT `~tick`, `origin`, `~start`, `~members`, `window_start`, `window_end`, `window_time`, ROW_NUMBER() OVER (PARTITION BY `window_start`, `window_end`, `origin`, `~start` ORDER BY `~sign`) AS `~place`
  FROM TABLE(TUMBLE(TABLE `hw_running`, DESCRIPTOR(`~time`), INTERVAL '0.001' SECOND))
)
WHERE `~place` = 1;

CREATE TEMPORARY VIEW `hw_facts` AS
SELECT `~time`, `~tick`, `origin` AS `~key`, (`~members` > 0) AS `~live`, `origin`, `~members` AS `n`, `~start` AS `valid_from`, CAST(NULL AS BIGINT) AS `valid_to`
FROM `hw_cells`;

CREATE TEMPORARY VIEW `hw_told` AS
SELECT *, LAG(`~live`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_~live`, LAG(`origin`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_origin`, LAG(`n`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_n`, LAG(`valid_from`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_valid_from`, LAG(`valid_to`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_valid_to`
FROM `hw_facts`;

CREATE TEMPORARY VIEW `hw_changed` AS
SELECT `~time`, `~tick`, `~key`, CASE WHEN NOT `~live` THEN CAST('retract' AS STRING) WHEN COALESCE(`~old_~live`, FALSE) THEN CAST('correct' AS STRING) ELSE CAST('assert' AS STRING) END AS `~kind`, CASE WHEN `~live` THEN `origin` ELSE `~old_origin` END AS `origin`, CASE WHEN `~live` THEN `n` ELSE `~old_n` END AS `n`, CASE WHEN `~live` THEN `valid_from` ELSE `~old_valid_from` END AS `valid_from`, CASE WHEN `~live` THEN `valid_to` ELSE `~old_valid_to` END AS `valid_to`
FROM `hw_told`
WHERE (`~live` OR COALESCE(`~old_~live`, FALSE)) AND NOT (`~live` AND COALESCE(`~old_~live`, FALSE) AND `origin` IS NOT DISTINCT FROM `~old_origin` AND `n` IS NOT DISTINCT FROM `~old_n` AND `valid_from` IS NOT DISTINCT FROM `~old_valid_from` AND `valid_to` IS NOT DISTINCT FROM `~old_valid_to`);

CREATE TEMPORARY VIEW `hw_records` AS
SELECT *, `~tick` AS `~recorded_at`, COUNT(*) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `~revision`
FROM `hw_changed`;

CREATE TEMPORARY TABLE `out` (
  `~key` STRING NOT NULL,
  `~value` BYTES NOT NULL,
  `~stamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = 'airports.hourly.v1',
  'properties.bootstrap.servers' = 'kafka:9092',
  'key.format' = 'raw',
  'key.fields' = '~key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = 'airports.hourly.v1-flink',
  'properties.transaction.timeout.ms' = '840000'
);

INSERT INTO `out`
SELECT `~key`, hw_frame(7, 's,l,l,0?l,l,s,l', `origin`, `n`, `valid_from`, `valid_to`, `~recorded_at`, `~kind`, `~revision`), TO_TIMESTAMP_LTZ(`~recorded_at` / 1000, 3)
FROM `hw_records`
ORDER BY `~time`, `~key`, `valid_from`;
