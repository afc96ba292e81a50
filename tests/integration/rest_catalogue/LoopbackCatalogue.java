package org.apache.iceberg.rest;

import java.net.InetSocketAddress;
import java.util.Map;
import org.apache.iceberg.Files;
import org.apache.iceberg.io.FileIO;
import org.apache.iceberg.io.InputFile;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/**
 * Iceberg's own REST catalogue over SQLite, on loopback alone. Its `RESTCatalogServer` listens everywhere, and its files
 * go by Hadoop, which does not run on a newer Java.
 */
public final class LoopbackCatalogue {
  private LoopbackCatalogue() {}

  /** Files of this machine. */
  public static final class LocalFiles implements FileIO {
    @Override
    public InputFile newInputFile(String path) {
      return Files.localInput(path.replaceFirst("^file://", ""));
    }

    @Override
    public OutputFile newOutputFile(String path) {
      java.io.File file = new java.io.File(path.replaceFirst("^file://", ""));
      file.getParentFile().mkdirs();
      return Files.localOutput(file);
    }

    @Override
    public void deleteFile(String path) {
      new java.io.File(path.replaceFirst("^file://", "")).delete();
    }
  }

  /** Arguments: the port, SQLite's file, and the folder of the tables. */
  public static void main(String[] arguments) throws Exception {
    JdbcCatalog catalog = new JdbcCatalog();
    catalog.initialize(
        "backend",
        Map.of(
            "uri", "jdbc:sqlite:" + arguments[1],
            "warehouse", "file://" + arguments[2],
            "jdbc.schema-version", "V1",
            "io-impl", LocalFiles.class.getName()));
    ServletContextHandler context = new ServletContextHandler();
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
    server.setHandler(context);
    server.start();
    server.join();
  }
}
