"""Queries that want more than products: files, sockets, settings, statements, others' rows, all of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Literal

Want = Literal["outside", "statement", "catalogue", "function", "resources", "foreign", "shape", "fuzz"]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One query, and what it is after."""

    want: Want
    text: str


@dataclass(frozen=True, slots=True)
class Bait:
    """What must not be reached: a file with a secret in it, a folder, a listener on this machine."""

    file: str
    folder: str
    port: int


_READERS = (
    "read_csv",
    "read_csv_auto",
    "read_parquet",
    "parquet_scan",
    "parquet_metadata",
    "parquet_schema",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_ndjson",
    "read_ndjson_auto",
    "read_text",
    "read_blob",
    "sniff_csv",
    "glob",
    "arrow_scan",
    "sqlite_scan",
    "postgres_scan",
    "iceberg_scan",
    "delta_scan",
    "st_read",
    "read_xlsx",
    "query",
    "query_table",
)
_STATEMENTS = (
    "COPY a.b TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out' (FORMAT parquet)",
    "COPY a.b FROM '{file}'",
    "ATTACH '{folder}/out.db' AS o",
    "ATTACH 'http://127.0.0.1:{port}/x.db' AS o",
    "DETACH memory",
    "USE information_schema",
    "INSTALL httpfs",
    "INSTALL httpfs FROM 'http://127.0.0.1:{port}'",
    "LOAD httpfs",
    "LOAD '{folder}/x.so'",
    "FORCE INSTALL json",
    "SET enable_external_access = true",
    "SET GLOBAL lock_configuration = false",
    "RESET lock_configuration",
    "SET threads = 64",
    "SET memory_limit = '100GB'",
    "SET temp_directory = '{folder}'",
    "SET home_directory = '{folder}'",
    "SET log_query_path = '{folder}/log'",
    "PRAGMA database_list",
    "PRAGMA enable_external_access",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output = '{folder}/p'",
    "CREATE TABLE x AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "CREATE VIEW v AS SELECT * FROM '{file}'",
    "CREATE SECRET (TYPE s3)",
    "CREATE SCHEMA s",
    "CREATE SEQUENCE s",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE FUNCTION f(x) AS x",
    "CREATE INDEX i ON a.b (v)",
    "DROP TABLE a.b",
    "ALTER TABLE a.b ADD COLUMN x INT",
    "INSERT INTO a.b VALUES (1)",
    "UPDATE a.b SET v = 1",
    "DELETE FROM a.b",
    "TRUNCATE a.b",
    "MERGE INTO a.b USING a.b AS s ON true WHEN MATCHED THEN DELETE",
    "EXPORT DATABASE '{folder}/all'",
    "IMPORT DATABASE '{folder}'",
    "CALL pragma_version()",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "EXPLAIN SELECT * FROM a.b",
    "EXPLAIN ANALYZE SELECT * FROM a.b",
    "DESCRIBE a.b",
    "SUMMARIZE a.b",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "FROM a.b",
    "PIVOT a.b ON v",
    "UNPIVOT a.b ON v INTO NAME n VALUE w",
    "VALUES (1)",
    "TABLE a.b",
    "COMMENT ON TABLE a.b IS 'x'",
    "SET VARIABLE x = 1",
    "LISTEN x",
    "DO 1",
    "GRANT ALL ON a.b TO x",
)
_CATALOGUES = (
    "duckdb_settings()",
    "duckdb_tables()",
    "duckdb_databases()",
    "duckdb_secrets()",
    "duckdb_extensions()",
    "duckdb_functions()",
    "duckdb_memory()",
    "duckdb_temporary_files()",
    "duckdb_logs()",
    "pragma_database_list()",
    "pragma_version()",
    "pragma_platform()",
    "pragma_table_info('a.b')",
    "information_schema.tables",
    "information_schema.columns",
    "information_schema.schemata",
    "pg_catalog.pg_class",
    "pg_catalog.pg_settings",
    "pg_class",
    "sqlite_master",
    "main.sqlite_master",
    "memory.a.b",
    "system.main.x",
    "temp.x",
    "given",
    "work",
    "answer",
    "asked",
    "connection",
    "which_secret('x', 's3')",
    "test_all_types()",
    "repeat_row(1, num_rows=9)",
    "seq_scan('a')",
    "checkpoint()",
    "force_checkpoint()",
    "summary(a.b)",
    "range(9)",
    "generate_series(1, 9)",
    "unnest([1])",
)
_FUNCTIONS = (
    "getenv('HOME')",
    "current_setting('temp_directory')",
    "current_database()",
    "current_schemas(true)",
    "current_user",
    "session_user",
    "version()",
    "getvariable('x')",
    "nextval('s')",
    "currval('s')",
    "txid_current()",
    "pg_typeof(1)",
    "hash(v)",
    "random()",
    "uuid()",
    "error('x')",
    "sleep_ms(10000)",
    "write_log('x')",
    "in_search_path('a', 'b')",
    "system('id')",
    "shell('id')",
    "load_file('{file}')",
    "read_text('{file}')",
    "content('{file}')",
    "getenv(chr(72))",
    "set_bit('1', 0, 1)",
    "json_serialize_sql('SELECT 1')",
    "json_execute_serialized_sql('x')",
    "parse_path('{file}')",
    "md5('{file}')",
    "gen_random_uuid()",
    "setseed(0.5)",
    "now() - now()",
    "list_transform([v], x -> x)",
    "list_reduce([v], (x, y) -> x)",
    "COLUMNS('.*')",
    "struct_pack(x := v)",
    "a.b",
    "$1",
    "?",
    ":x",
)
_RESOURCES = (
    "SELECT repeat('x', 10000000000) FROM a.b",
    "SELECT lpad('x', 2000000000, 'y') FROM a.b",
    "SELECT rpad('x', 2000000000, 'y') FROM a.b",
    "SELECT count(*) FROM a.b x, a.b y, a.b z, a.b w WHERE x.v + y.v + z.v + w.v < 0",
    "SELECT count(*) FROM a.b x JOIN a.b y ON true JOIN a.b z ON sin(x.v) < y.v * z.v",
    "SELECT string_agg(x.v::text || y.v::text, '') FROM a.b x, a.b y, a.b z",
    "SELECT list(x.v) FROM a.b x, a.b y, a.b z",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r, a.b",
    "WITH RECURSIVE r AS (SELECT v FROM a.b UNION ALL SELECT r.v FROM r, a.b) SELECT count(*) FROM r",
    "SELECT count(DISTINCT x.v::text || y.v::text || 'xxxxxxxxxxxxxxxx') FROM a.b x, a.b y",
    "SELECT x.*, y.*, z.* FROM a.b x, a.b y, a.b z",
    "SELECT regexp_matches(repeat('a', 30) || '!', '(a+)+$') FROM a.b",
    "SELECT regexp_matches(v::text || 'aaaaaaaaaaaaaaaaaaaaaaaaaa!', '((a+)+)+$') FROM a.b",
    "SELECT sum(x.v) OVER (ORDER BY y.v RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM a.b x, a.b y",
    "SELECT 9 ** 9 ** 9 ** 9 FROM a.b",
    "SELECT replace(replace(replace(v::text, '1', '1111111111'), '1', '1111111111'), '1', '1111111111') FROM a.b",
    "SELECT v FROM a.b ORDER BY " + ", ".join("v" for _ in range(2_000)),
    "SELECT range(10000000000) FROM a.b",
    "SELECT list_resize([1], 2000000000) FROM a.b",
)
_FOREIGN = (
    "other.secret",
    "as_of('other.secret')",
    "history('other.secret')",
    "OTHER.SECRET",
    '"other"."secret"',
    "other.secret/x",
    "as_of('other.secret', recorded => '2013-01-01T00:00Z')",
    "as_of('../other')",
    "as_of('a.b/../../other')",
    "as_of('a.b%2f..')",
    "as_of('a.b' || '')",
    "as_of(concat('other', '.secret'))",
    "as_of((SELECT 'other.secret'))",
    "as_of('a.b\\0')",
    "history('a．b')",
)


def corpus(bait: Bait) -> list[Hostile]:
    """All of them, each once."""
    return list(dict.fromkeys(_corpus(bait)))


def _corpus(bait: Bait) -> Iterator[Hostile]:
    names = {"file": bait.file, "folder": bait.folder, "port": str(bait.port)}
    targets = (
        bait.file,
        "/etc/passwd",
        "/proc/self/environ",
        f"http://127.0.0.1:{bait.port}/x",
        "s3://bucket/x",
        f"{bait.folder}/*",
    )
    for reader, target in product(_READERS, targets):
        yield Hostile("outside", f"SELECT * FROM {reader}('{target}')")
        yield Hostile("outside", f"SELECT (SELECT min(v::text) FROM a.b), * FROM a.b, LATERAL {reader}('{target}')")
    for target, form in product(targets, ("'{0}'", '"{0}"', "a.b, '{0}'", "(FROM '{0}')", "a.b JOIN '{0}' USING (v)")):
        yield Hostile("outside", f"SELECT * FROM {form.format(target)}")
    for statement in _STATEMENTS:
        text = statement.format_map(names)
        yield Hostile("statement", text)
        yield Hostile("statement", f"SELECT 1 FROM a.b; {text}")
        yield Hostile("statement", f"/* SELECT 1 FROM a.b */ {text} -- SELECT")
        yield Hostile("statement", f"WITH x AS ({text}) SELECT * FROM x, a.b")
    for catalogue in _CATALOGUES:
        yield Hostile("catalogue", f"SELECT * FROM {catalogue}")
        yield Hostile("catalogue", f"SELECT v FROM a.b UNION ALL SELECT 1 FROM {catalogue}")
        yield Hostile("catalogue", f"SELECT v FROM a.b WHERE EXISTS (SELECT 1 FROM {catalogue})")
    for function in _FUNCTIONS:
        text = function.format_map(names)
        yield Hostile("function", f"SELECT {text} FROM a.b")
        yield Hostile("function", f"SELECT v FROM a.b ORDER BY {text}")
    for text in _RESOURCES:
        yield Hostile("resources", text)
    for source in _FOREIGN:
        yield Hostile("foreign", f"SELECT * FROM {source}")
        yield Hostile("foreign", f"SELECT v FROM a.b WHERE v IN (SELECT v FROM {source})")
    yield from _shapes()


def _shapes() -> Iterator[Hostile]:
    """Texts that are hard to read rather than hard to run."""
    for depth in (100, 1_000, 20_000):
        yield Hostile("shape", "SELECT " + "(" * depth + "1" + ")" * depth + " FROM a.b")
        yield Hostile("shape", "SELECT v FROM a.b WHERE " + "NOT " * depth + "true")
        yield Hostile("shape", "SELECT " + "-" * depth + "1 FROM a.b")
        yield Hostile("shape", "SELECT v FROM a.b WHERE v IN (" + ",".join(map(str, range(depth))) + ")")
        yield Hostile("shape", "SELECT v FROM a.b WHERE " + " AND ".join("v > 1" for _ in range(depth)))
        yield Hostile("shape", "SELECT " + "CASE WHEN v > 1 THEN " * depth + "1" + " END" * depth + " FROM a.b")
        yield Hostile("shape", "SELECT [" * depth + "]" * depth + " FROM a.b")
        yield Hostile("shape", " UNION ALL ".join("SELECT v FROM a.b" for _ in range(depth // 50)))
        yield Hostile("shape", "SELECT '" + "x" * depth * 10 + "' FROM a.b")
    for odd in ("\0", "\ufeff", "\u202e", "＇", "/*", "--", "$$", "'", '"', "\\", "E'\\x00'", "\ud7ff", "#", "`"):
        yield Hostile("shape", f"SELECT v FROM a.b {odd}")
        yield Hostile("shape", f"{odd} SELECT v FROM a.b")


_WORDS = (
    "SELECT",
    "FROM",
    "WHERE",
    "a.b",
    "as_of('a.b')",
    "history('a.b')",
    "v",
    "1",
    "'x'",
    "(",
    ")",
    ",",
    "*",
    "JOIN",
    "ON",
    "USING (v)",
    "UNION",
    "ALL",
    "WITH",
    "x AS",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "AND",
    "OR",
    "NOT",
    "=",
    "<",
    "+",
    "count(*)",
    "max(v)",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "read_text('/etc/passwd')",
    "COPY",
    "TO",
    "'/tmp/x'",
    "SET",
    "PRAGMA",
    "ATTACH",
    ";",
    "--",
    "/*",
    "*/",
    "duckdb_settings()",
    "getenv('HOME')",
    "[",
    "]",
    "{",
    "}",
    "::",
    "INTERVAL",
    "CAST(",
    "AS",
    "OVER (",
    "LATERAL",
    "VALUES",
    "EXISTS (",
    "IN (",
    "QUALIFY",
    "RECURSIVE",
    "INTO",
)


def fuzz(seed: int, count: int) -> Iterator[Hostile]:
    """Texts of the grammar's words, in any order; most of them begin as a SELECT does."""
    chance = Random(seed)
    for _ in range(count):
        words = [chance.choice(_WORDS) for _ in range(chance.randrange(1, 18))]
        head = "SELECT v FROM a.b " if chance.random() < 0.5 else "SELECT " if chance.random() < 0.8 else ""
        yield Hostile("fuzz", head + " ".join(words))
