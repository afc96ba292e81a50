package org.headwater.flink;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** What a command hands to a process: settings, and SQL statements, each ended by a zero byte. */
final class Statements {
  private Statements() {}

  static Configuration settings(String file) throws IOException {
    Properties settings = new Properties();
    try (var reader = Files.newBufferedReader(Path.of(file))) {
      settings.load(reader);
    }
    Map<String, String> chosen =
        settings.stringPropertyNames().stream().collect(Collectors.toMap(name -> name, settings::getProperty));
    return Configuration.fromMap(chosen);
  }

  /** The result of the last statement, which is the job's. */
  static TableResult execute(Configuration settings, String file) throws IOException {
    TableEnvironment environment =
        TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
    TableResult result = null;
    for (String statement : Files.readString(Path.of(file)).split("\0")) {
      if (!statement.isBlank()) {
        result = environment.executeSql(statement);
      }
    }
    return result;
  }
}
