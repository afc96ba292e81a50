CREATE TEMPORARY FUNCTION hw_frame AS 'org.headwater.flink.Frame' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_revision AS 'org.headwater.flink.Revision' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_newer AS 'org.headwater.flink.Newer' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_divide AS 'org.headwater.flink.Whole$Divide' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_long_total AS 'org.headwater.flink.Longs$Total' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_long_minimum AS 'org.headwater.flink.Longs$Minimum' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_text_maximum AS 'org.headwater.flink.Texts$Maximum' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_text_distinct AS 'org.headwater.flink.Texts$Distinct' LANGUAGE JAVA;

CREATE TEMPORARY TABLE `in0` (
  `flight_id` STRING NOT NULL,
  `origin` STRING NOT NULL,
  `minutes` BIGINT,
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
  'value.avro-confluent.schema' = '{"type": "record", "name": "Any", "fields": [{"name": "flight_id", "type": "string"}, {"name": "origin", "type": "string"}, {"name": "minutes", "type": ["null", "long"]}, {"name": "event_id", "type": "string"}, {"name": "occurred_at", "type": "long"}, {"name": "recorded_at", "type": "long"}, {"name": "kind", "type": "string"}, {"name": "revision", "type": "long"}]}'
);

CREATE TEMPORARY VIEW `hw_rows` AS
SELECT `~time`, `recorded_at` - MOD(`recorded_at`, 100000) + 99999 AS `~tick`, `recorded_at` AS `~recorded_at`, `kind` AS `~kind`, hw_revision(`revision`) AS `~revision`, 0 AS `~input`, `flight_id` AS `~key`, `event_id` AS `~id`, (`kind` <> 'retract' AND ((CAST(`minutes` AS BIGINT) > CAST(-5 AS BIGINT))) IS TRUE) AS `~live`, `flight_id`, CAST(`minutes` AS BIGINT) AS `minutes`, `occurred_at`, `origin`
FROM `in0`;

CREATE TEMPORARY VIEW `hw_newest` AS
SELECT `window_time` AS `~time`, `~key`, `~id`, `~tick`, `~live`, `~revision`, `flight_id`, `minutes`, `occurred_at`, `origin` FROM (
  SELECT `~key`, `~id`, `~tick`, `~live`, `~revision`, `flight_id`, `minutes`, `occurred_at`, `origin`, `window_start`, `window_end`, `window_time`, ROW_NUMBER() OVER (PARTITION BY `window_start`, `window_end`, `~key`, `~id` ORDER BY `~revision` DESC) AS `~place`
  FROM TABLE(TUMBLE(TABLE `hw_rows`, DESCRIPTOR(`~time`), INTERVAL '0.001' SECOND))
)
WHERE `~place` = 1;

CREATE TEMPORARY VIEW `hw_risen` AS
SELECT `~time`, `~key`, `~id`, `~tick`, `~live`, `~revision`, `flight_id`, `minutes`, `occurred_at`, `origin` FROM (
  SELECT *, hw_newer(`~revision`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `~newer` FROM `hw_newest`
)
WHERE `~newer`;

CREATE TEMPORARY VIEW `hw_versions` AS
SELECT `~time`, `~tick`, `~live`, `flight_id`, `minutes`, `occurred_at`, `origin`, LAG(`~live`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_~live`, LAG(`flight_id`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_flight_id`, LAG(`minutes`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_minutes`, LAG(`occurred_at`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_occurred_at`, LAG(`origin`) OVER (PARTITION BY `~key`, `~id` ORDER BY `~time`) AS `~old_origin`
FROM `hw_risen`;

CREATE TEMPORARY VIEW `hw_changes` AS
SELECT `~time`, `~tick`, CAST(-1 AS BIGINT) AS `~sign`, `~old_flight_id` AS `flight_id`, `~old_minutes` AS `minutes`, `~old_occurred_at` AS `occurred_at`, `~old_origin` AS `origin`
FROM `hw_versions`
WHERE `~old_~live`
UNION ALL
SELECT `~time`, `~tick`, CAST(1 AS BIGINT) AS `~sign`, `flight_id`, `minutes`, `occurred_at`, `origin`
FROM `hw_versions`
WHERE `~live`;

CREATE TEMPORARY VIEW `hw_placed` AS
SELECT `~time`, `~tick`, `~sign`, `flight_id`, `minutes`, `occurred_at`, `origin`, `occurred_at` - MOD(MOD(`occurred_at`, 3600000000) + 3600000000, 3600000000) AS `~start`
FROM `hw_changes`;

CREATE TEMPORARY VIEW `hw_running` AS
SELECT `~time`, `~tick`, `~sign`, `origin`, `~start`, SUM(`~sign`) OVER `w` AS `~members`, SUM(CASE WHEN `minutes` IS NULL THEN CAST(0 AS BIGINT) ELSE `~sign` END) OVER `w` AS `known`, hw_long_total(`minutes`, `~sign`) OVER `w` AS `sum`, hw_long_minimum(`minutes`, `~sign`) OVER `w` AS `least`, hw_long_total(`minutes`, `~sign`) OVER `w` AS `mean`, SUM(CASE WHEN `minutes` IS NULL THEN CAST(0 AS BIGINT) ELSE `~sign` END) OVER `w` AS `~given_mean`, hw_text_maximum(`flight_id`, `~sign`) OVER `w` AS `last`, hw_text_distinct(`flight_id`, `~sign`) OVER `w` AS `flights`
FROM `hw_placed`
WINDOW `w` AS (PARTITION BY `origin`, `~start` ORDER BY `~time` RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW `hw_cells` AS
SELECT `window_time` AS `~time`, `~tick`, `origin`, `~start`, `~members`, `known`, `sum`, `least`, `mean`, `~given_mean`, `last`, `flights` FROM (
  SELECT `~tick`, `origin`, `~start`, `~members`, `known`, `sum`, `least`, `mean`, `~given_mean`, `last`, `flights`, `window_start`, `window_end`, `window_time`, ROW_NUMBER() OVER (PARTITION BY `window_start`, `window_end`, `origin`, `~start` ORDER BY `~sign`) AS `~place`
  FROM TABLE(TUMBLE(TABLE `hw_running`, DESCRIPTOR(`~time`), INTERVAL '0.001' SECOND))
)
WHERE `~place` = 1;

CREATE TEMPORARY VIEW `hw_facts` AS
SELECT `~time`, `~tick`, `origin` AS `~key`, (`~members` > 0 AND ((`~members` > CAST(1 AS BIGINT))) IS TRUE) AS `~live`, `origin`, `~members` AS `n`, `known`, `sum`, `least`, hw_divide(`mean`, `~given_mean`) AS `mean`, `last`, `flights`, CASE WHEN (`sum` > CAST(9 AS BIGINT)) THEN CAST('it''s late' AS STRING) ELSE CAST('in time' AS STRING) END AS `word`, `~start` AS `valid_from`, `~start` + 3600000000 AS `valid_to`
FROM `hw_cells`;

CREATE TEMPORARY VIEW `hw_told` AS
SELECT *, LAG(`~live`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_~live`, LAG(`origin`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_origin`, LAG(`n`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_n`, LAG(`known`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_known`, LAG(`sum`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_sum`, LAG(`least`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_least`, LAG(`mean`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_mean`, LAG(`last`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_last`, LAG(`flights`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_flights`, LAG(`word`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_word`, LAG(`valid_from`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_valid_from`, LAG(`valid_to`) OVER (PARTITION BY `~key`, `valid_from` ORDER BY `~time`) AS `~old_valid_to`
FROM `hw_facts`;

CREATE TEMPORARY VIEW `hw_changed` AS
SELECT `~time`, `~tick`, `~key`, CASE WHEN NOT `~live` THEN CAST('retract' AS STRING) WHEN COALESCE(`~old_~live`, FALSE) THEN CAST('correct' AS STRING) ELSE CAST('assert' AS STRING) END AS `~kind`, CASE WHEN `~live` THEN `origin` ELSE `~old_origin` END AS `origin`, CASE WHEN `~live` THEN `n` ELSE `~old_n` END AS `n`, CASE WHEN `~live` THEN `known` ELSE `~old_known` END AS `known`, CASE WHEN `~live` THEN `sum` ELSE `~old_sum` END AS `sum`, CASE WHEN `~live` THEN `least` ELSE `~old_least` END AS `least`, CASE WHEN `~live` THEN `mean` ELSE `~old_mean` END AS `mean`, CASE WHEN `~live` THEN `last` ELSE `~old_last` END AS `last`, CASE WHEN `~live` THEN `flights` ELSE `~old_flights` END AS `flights`, CASE WHEN `~live` THEN `word` ELSE `~old_word` END AS `word`, CASE WHEN `~live` THEN `valid_from` ELSE `~old_valid_from` END AS `valid_from`, CASE WHEN `~live` THEN `valid_to` ELSE `~old_valid_to` END AS `valid_to`
FROM `hw_told`
WHERE (`~live` OR COALESCE(`~old_~live`, FALSE)) AND NOT (`~live` AND COALESCE(`~old_~live`, FALSE) AND `origin` IS NOT DISTINCT FROM `~old_origin` AND `n` IS NOT DISTINCT FROM `~old_n` AND `known` IS NOT DISTINCT FROM `~old_known` AND `sum` IS NOT DISTINCT FROM `~old_sum` AND `least` IS NOT DISTINCT FROM `~old_least` AND `mean` IS NOT DISTINCT FROM `~old_mean` AND `last` IS NOT DISTINCT FROM `~old_last` AND `flights` IS NOT DISTINCT FROM `~old_flights` AND `word` IS NOT DISTINCT FROM `~old_word` AND `valid_from` IS NOT DISTINCT FROM `~old_valid_from` AND `valid_to` IS NOT DISTINCT FROM `~old_valid_to`);

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
SELECT `~key`, hw_frame(7, 's,l,l,0?l,0?l,0?d,0?s,l,s,l,0?l,l,s,l', `origin`, `n`, `known`, `sum`, `least`, `mean`, `last`, `flights`, `word`, `valid_from`, `valid_to`, `~recorded_at`, `~kind`, `~revision`), TO_TIMESTAMP_LTZ(`~recorded_at` / 1000, 3)
FROM `hw_records`
ORDER BY `~time`, `~key`, `valid_from`;
