package org.headwater.flink;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/** Runs a file of SQL statements, each ended by a zero byte, in a cluster within this process, to the job's end or that of its input. */
public final class Job {
  private Job() {}

  public static void main(String[] arguments) throws Exception {
    endWithWhoeverStartedThis();
    Properties settings = new Properties();
    try (var reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Map<String, String> chosen =
        settings.stringPropertyNames().stream().collect(Collectors.toMap(name -> name, settings::getProperty));
    TableEnvironment environment =
        TableEnvironment.create(
            EnvironmentSettings.newInstance()
                .inStreamingMode()
                .withConfiguration(Configuration.fromMap(chosen))
                .build());
    TableResult result = null;
    for (String statement : Files.readString(Path.of(arguments[1])).split("\0")) {
      if (!statement.isBlank()) {
        result = environment.executeSql(statement);
      }
    }
    result.await();
  }

  /** A job that outlived the command that started it could publish beside the next one. */
  private static void endWithWhoeverStartedThis() {
    Thread watch =
        new Thread(
            () -> {
              try {
                while (System.in.read() >= 0) {}
              } catch (java.io.IOException gone) {
                // as good as closed
              }
              Runtime.getRuntime().halt(143);
            });
    watch.setDaemon(true);
    watch.start();
  }
}
