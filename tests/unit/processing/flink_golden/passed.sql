CREATE TEMPORARY FUNCTION hw_frame AS 'org.headwater.flink.Frame' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_revision AS 'org.headwater.flink.Revision' LANGUAGE JAVA;

CREATE TEMPORARY TABLE `in0` (
  `flight_id` STRING NOT NULL,
  `origin` STRING NOT NULL,
  `price` DOUBLE NOT NULL,
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
  'value.avro-confluent.schema' = '{"type": "record", "name": "Any", "fields": [{"name": "flight_id", "type": "string"}, {"name": "origin", "type": "string"}, {"name": "price", "type": "double"}, {"name": "event_id", "type": "string"}, {"name": "occurred_at", "type": "long"}, {"name": "recorded_at", "type": "long"}, {"name": "kind", "type": "string"}, {"name": "revision", "type": "long"}]}'
);

CREATE TEMPORARY VIEW `hw_rows` AS
SELECT `~time`, `recorded_at` - MOD(`recorded_at`, 100000) + 99999 AS `~tick`, `recorded_at` AS `~recorded_at`, `kind` AS `~kind`, hw_revision(`revision`) AS `~revision`, 0 AS `~input`, `flight_id` AS `~key`, `event_id` AS `~id`, (`kind` <> 'retract' AND ((NOT (`origin` = CAST('JFK' AS STRING)))) IS TRUE) AS `~live`, `flight_id`, (CAST(CAST(`price` AS DOUBLE) AS DOUBLE) * CAST(CAST(100.0 AS DOUBLE) AS DOUBLE)) AS `cents`, `event_id`, `occurred_at`
FROM `in0`;

CREATE TEMPORARY VIEW `hw_records` AS
SELECT `flight_id` AS `~key`, `~recorded_at`, CASE WHEN `~live` THEN `~kind` ELSE 'retract' END AS `~kind`, `~revision`, `flight_id`, `cents`, `event_id`, `occurred_at`
FROM `hw_rows`
WHERE `~live` OR `~kind` = 'retract' OR `~revision` > 1;

CREATE TEMPORARY TABLE `out` (
  `~key` STRING NOT NULL,
  `~value` BYTES NOT NULL,
  `~stamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = 'flights.few.v1',
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
SELECT `~key`, hw_frame(7, 's,d,s,l,l,s,l', `flight_id`, `cents`, `event_id`, `occurred_at`, `~recorded_at`, `~kind`, `~revision`), TO_TIMESTAMP_LTZ(`~recorded_at` / 1000, 3)
FROM `hw_records`;
