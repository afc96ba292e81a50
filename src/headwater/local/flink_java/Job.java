package org.headwater.flink;

/** Runs a file of SQL statements in a cluster within this process, to the job's end or that of its input. */
public final class Job {
  private Job() {}

  public static void main(String[] arguments) throws Exception {
    endWithWhoeverStartedThis();
    Statements.execute(Statements.settings(arguments[0]), arguments[1]).await();
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
