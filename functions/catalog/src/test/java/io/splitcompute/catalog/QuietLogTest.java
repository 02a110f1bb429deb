package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/**
 * Logs are read by more people than the bucket, and kept for longer than a URL lives: what is
 * logged opens nothing and quotes nobody. And a log that repeats itself is read by nobody: who asks
 * for the list each second must not fill it with one and the same fault.
 */
final class QuietLogTest {

  private static final Logger ROOT =
      (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
  private static final Logger REQUESTS =
      (Logger) LoggerFactory.getLogger("io.splitcompute.requests");
  private static final String TEXT = "an-intimate-sentence";

  private final ListAppender<ILoggingEvent> log = new ListAppender<>();
  private RunningCatalog catalog;

  @BeforeEach
  void start(@TempDir Path folder) throws Exception {
    catalog = RunningCatalog.start(folder, Map.of());
    // As where a machine reads it: requests are logged.
    REQUESTS.setLevel(Level.INFO);
    log.start();
    ROOT.addAppender(log);
  }

  @AfterEach
  void stop() {
    ROOT.detachAppender(log);
    REQUESTS.setLevel(Level.WARN);
    catalog.close();
  }

  @Test
  void shouldLogRequestsWithoutSecretsAndTexts() throws Exception {
    String shard = catalog.manifest.unit("final").variant("f32").sha256();
    String path = "/v1/models/" + RunningCatalog.MODEL + "/shards";
    assertEquals(
        200, catalog.post(path + "?key=" + TEXT, "{\"shards\":[\"" + shard + "\"]}").statusCode());
    for (String body :
        List.of(
            TEXT, "{\"" + TEXT + "\":1}", "{\"shards\":[\"" + TEXT + "\"]}", "[\"" + TEXT + "\"")) {
      assertEquals(400, catalog.post(path, body).statusCode());
    }
    catalog.get("/v1/models", "Authorization", "Bearer " + TEXT);

    String logged = logged();
    assertTrue(logged.contains(path), logged);
    for (String secret : List.of(TEXT, "X-Amz-Signature", "a-secret", "Bearer")) {
      assertFalse(logged.contains(secret), logged);
    }
  }

  @Test
  void shouldSayOnceThatAManifestIsNotValid() throws Exception {
    catalog.put("models/damaged/manifest.json", "{}");
    for (int i = 0; i < 3; i++) {
      assertEquals(200, catalog.get("/v1/models").statusCode());
    }
    assertEquals(1, countOf("damaged"), logged());
  }

  private long countOf(String word) {
    return log.list.stream().filter(event -> event.getFormattedMessage().contains(word)).count();
  }

  private String logged() {
    return log.list.stream()
        .map(
            event ->
                event.getLevel()
                    + " "
                    + event.getFormattedMessage()
                    + " "
                    + event.getKeyValuePairs())
        .collect(Collectors.joining("\n"));
  }
}
