package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The head in a process of its own, that can be killed. */
final class HeadProcess implements AutoCloseable {

  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  private final Process process;
  private final URI address;
  private final Path log;

  private HeadProcess(Process process, URI address, Path log) {
    this.process = process;
    this.address = address;
    this.log = log;
  }

  /**
   * Starts the head's main class.
   *
   * @param log takes what it says
   */
  static HeadProcess start(Map<String, String> environment, Path log) throws IOException {
    return start(
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp",
            System.getProperty("java.class.path"),
            HeadApplication.class.getName()),
        environment,
        log);
  }

  /**
   * @param command that starts it, the image's entry point say
   * @param log takes what it says
   */
  static HeadProcess start(List<String> command, Map<String, String> environment, Path log)
      throws IOException {
    int port = freePort();
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().putAll(environment);
    builder.environment().put("MICRONAUT_SERVER_PORT", Integer.toString(port));
    builder.environment().put("SPLITCOMPUTE_LOG", "json");
    builder.redirectErrorStream(true).redirectOutput(log.toFile());
    return new HeadProcess(builder.start(), URI.create("http://127.0.0.1:" + port), log);
  }

  static int freePort() throws IOException {
    try (ServerSocket free = new ServerSocket(0)) {
      return free.getLocalPort();
    }
  }

  URI address() {
    return address;
  }

  ProcessHandle handle() {
    return process.toHandle();
  }

  boolean isAlive() {
    return process.isAlive();
  }

  String log() throws IOException {
    return Files.readString(log);
  }

  /** Waits until the log has a line so many times. */
  void awaitLog(String line, int times) throws Exception {
    while (log().split(line, -1).length <= times) {
      assertTrue(isAlive(), log());
      Thread.sleep(50);
    }
  }

  /** The status of the health check; 0 as long as nothing listens. */
  int health() throws Exception {
    try {
      return CLIENT
          .send(
              HttpRequest.newBuilder(address.resolve("/health")).build(),
              HttpResponse.BodyHandlers.discarding())
          .statusCode();
    } catch (IOException notYet) {
      return 0;
    }
  }

  void awaitHealthy() throws Exception {
    while (health() != 200) {
      assertTrue(isAlive(), log());
      Thread.sleep(50);
    }
  }

  HttpResponse<byte[]> embed(Map<String, ?> body, String accept) throws Exception {
    return CLIENT.send(
        HttpRequest.newBuilder(address.resolve("/v1/embed"))
            .header("Content-Type", "application/json")
            .header("Accept", accept)
            .POST(HttpRequest.BodyPublishers.ofByteArray(RunningHead.JSON.writeValueAsBytes(body)))
            .build(),
        HttpResponse.BodyHandlers.ofByteArray());
  }

  /** Ends it as the system ends a process that takes too much: it can do nothing about it. */
  void kill() {
    process.destroyForcibly();
    process.onExit().join();
  }

  @Override
  public void close() throws IOException {
    process.destroy();
    try {
      process.onExit().get(20, TimeUnit.SECONDS);
    } catch (InterruptedException | ExecutionException | TimeoutException stillThere) {
      kill();
      throw new AssertionError("the head did not stop: " + log(), stillThere);
    }
  }
}
