CREATE TEMPORARY FUNCTION hw_frame AS 'org.headwater.flink.Frame' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_revision AS 'org.headwater.flink.Revision' LANGUAGE JAVA;

CREATE TEMPORARY FUNCTION hw_interval AS 'org.headwater.flink.Interval' LANGUAGE JAVA;

CREATE TEMPORARY TABLE `in0` (
  `origin` STRING NOT NULL,
  `seats` BIGINT NOT NULL,
  `valid_from` BIGINT NOT NULL,
  `valid_to` BIGINT,
  `recorded_at` BIGINT NOT NULL,
  `kind` STRING NOT NULL,
  `revision` BIGINT NOT NULL,
  `~time` AS TO_TIMESTAMP_LTZ(`recorded_at` / 100000, 3),
  WATERMARK FOR `~time` AS `~time` - INTERVAL '0.001' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'fleet.seats.v1',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.isolation.level' = 'read_committed',
  'properties.group.id' = 'airports.hourly.v1-flink',
  'scan.startup.mode' = 'earliest-offset',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = 'http://registry:8081',
  'value.avro-confluent.schema' = '{"type": "record", "name": "Any", "fields": [{"name": "origin", "type": "string"}, {"name": "seats", "type": "long"}, {"name": "valid_from", "type": "long"}, {"name": "valid_to", "type": ["null", "long"]}, {"name": "recorded_at", "type": "long"}, {"name": "kind", "type": "string"}, {"name": "revision", "type": "long"}]}'
);

CREATE TEMPORARY VIEW `hw_rows` AS
SELECT `~time`, `recorded_at` - MOD(`recorded_at`, 100000) + 99999 AS `~tick`, `recorded_at` AS `~recorded_at`, `kind` AS `~kind`, hw_revision(`revision`) AS `~revision`, 0 AS `~input`, `origin` AS `~key`, hw_interval(`valid_from`, `valid_to`) AS `~from`, `valid_to` AS `~to`, (`kind` <> 'retract' AND ((CAST(`seats` AS BIGINT) > CAST(2 AS BIGINT))) IS TRUE) AS `~live`, `origin`, CAST(`seats` AS BIGINT) AS `seats`, hw_interval(`valid_from`, `valid_to`) AS `valid_from`, `valid_to`
FROM `in0`;

CREATE TEMPORARY VIEW `hw_records` AS
SELECT `origin` AS `~key`, `~recorded_at`, CASE WHEN `~live` THEN `~kind` ELSE 'retract' END AS `~kind`, `~revision`, `origin`, `seats`, `valid_from`, `valid_to`
FROM `hw_rows`;

CREATE TEMPORARY TABLE `out` (
  `~key` STRING NOT NULL,
  `~value` BYTES NOT NULL,
  `~stamp` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = 'fleet.seats.v1',
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
SELECT `~key`, hw_frame(7, 's,l,l,0?l,l,s,l', `origin`, `seats`, `valid_from`, `valid_to`, `~recorded_at`, `~kind`, `~revision`), TO_TIMESTAMP_LTZ(`~recorded_at` / 1000, 3)
FROM `hw_records`;
