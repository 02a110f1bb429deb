package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
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
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The image without Docker: what its build step lays out, started by its very entry point. */
@Timeout(120)
@EnabledOnOs(value = OS.LINUX, disabledReason = "the image is Linux")
final class HeadImageTest {

  @TempDir private static Path folder;
  private static Path app;

  @BeforeAll
  static void layOut() throws Exception {
    app = ImageLayout.into(folder.resolve("app"));
  }

  private static Process start(Map<String, String> environment) throws Exception {
    ProcessBuilder builder = new ProcessBuilder(app.resolve("entrypoint.sh").toString());
    builder.environment().putAll(environment);
    builder.environment().put("SPLITCOMPUTE_WEIGHTS", "file:" + ShardedFixtures.with("gpt2-plain"));
    builder.environment().put("SPLITCOMPUTE_MODELS", "gpt2-plain");
    builder.environment().put("SPLITCOMPUTE_CACHE_FOLDER", folder.resolve("cache").toString());
    builder.redirectErrorStream(true).redirectOutput(folder.resolve("log").toFile());
    return builder.start();
  }

  @Test
  void shouldServeHttpAndLogJsonWithoutAUsersText() throws Exception {
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    Process head = start(Map.of("MICRONAUT_SERVER_PORT", Integer.toString(port)));
    try {
      URI address = URI.create("http://127.0.0.1:" + port);
      awaitHealth(head, address);
      HttpResponse<String> answer =
          HttpClient.newHttpClient()
              .send(
                  HttpRequest.newBuilder(address.resolve("/v1/embed"))
                      .header("Content-Type", "application/json")
                      .header("X-Request-Id", "of-the-caller")
                      .POST(
                          HttpRequest.BodyPublishers.ofString(
                              "{\"model\":\"gpt2-plain\",\"input\":\"a secret\"}"))
                      .build(),
                  HttpResponse.BodyHandlers.ofString());
      assertEquals(400, answer.statusCode());
      assertEquals("of-the-caller", answer.headers().firstValue("X-Request-Id").orElse(""));
    } finally {
      stop(head);
    }
    List<String> log = Files.readAllLines(folder.resolve("log"));
    boolean found = false;
    for (String line : log) {
      JsonNode entry = RunningHead.JSON.readTree(line);
      found |= entry.toString().contains("of-the-caller");
    }
    assertTrue(found, log.toString());
    assertTrue(!log.toString().contains("a secret"), log.toString());
  }

  private static void awaitHealth(Process head, URI address) throws Exception {
    while (true) {
      assertTrue(head.isAlive(), () -> log());
      try {
        int status =
            HttpClient.newHttpClient()
                .send(
                    HttpRequest.newBuilder(address.resolve("/health")).build(),
                    HttpResponse.BodyHandlers.discarding())
                .statusCode();
        if (status == 200) {
          return;
        }
      } catch (IOException notYet) {
        assertTrue(head.isAlive(), () -> log());
      }
      Thread.sleep(50);
    }
  }

  private static String log() {
    try {
      return Files.readString(folder.resolve("log"));
    } catch (IOException none) {
      return "no log";
    }
  }

  private static void stop(Process head) throws InterruptedException {
    head.destroy();
    if (!head.waitFor(15, TimeUnit.SECONDS)) {
      head.destroyForcibly();
      throw new AssertionError("the head did not stop: " + log());
    }
  }
}
