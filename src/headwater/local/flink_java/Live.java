package org.headwater.flink;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;

/**
 * A cluster within this process that lives until it is ended, and the job of a file of SQL statements on it, if there is
 * one. It answers over HTTP as any cluster does, also about a job that has failed.
 */
public final class Live {
  private Live() {}

  /** Settings, statements (an empty name: none), and the file that gets the cluster's address and the job's id. */
  public static void main(String[] arguments) throws Exception {
    Configuration settings = Statements.settings(arguments[0]);
    MiniCluster cluster =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(settings)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(Integer.parseInt(settings.toMap().get("taskmanager.numberOfTaskSlots")))
                .build());
    try {
      cluster.start();
      URI address = cluster.getRestAddress().get();
      String job = arguments[1].isEmpty() ? "" : submit(settings, address, arguments[1]);
      Path draft = Path.of(arguments[2] + ".draft");
      Files.writeString(draft, address + "\n" + job + "\n");
      Files.move(draft, Path.of(arguments[2]), StandardCopyOption.ATOMIC_MOVE);
    } catch (Throwable failed) {
      failed.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
    Thread.currentThread().join();
  }

  private static String submit(Configuration settings, URI address, String statements) throws Exception {
    Configuration there = new Configuration(settings);
    there.setString("execution.target", "remote");
    there.setString("rest.address", address.getHost());
    there.setString("rest.port", String.valueOf(address.getPort()));
    JobClient job = Statements.execute(there, statements).getJobClient().orElseThrow();
    return job.getJobID().toString();
  }
}
