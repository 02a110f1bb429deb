package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.splitcompute.api.ProblemException;
import io.splitcompute.weights.store.FolderStore;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/**
 * A manifest that is none is its publisher's fault: who asks for the model is told so in a stable
 * type and nothing of what lies in the bucket, and who runs the service reads one line of why.
 */
final class DamagedManifestTest {

  private static final Logger ROOT =
      (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
  private static final String SHARDS = "{\"shards\":[\"" + "0".repeat(64) + "\"]}";

  @TempDir static Path folder;

  private static RunningCatalog catalog;

  private final ListAppender<ILoggingEvent> log = new ListAppender<>();

  @BeforeAll
  static void start() throws Exception {
    catalog = RunningCatalog.start(folder, Map.of());
  }

  @AfterAll
  static void stop() {
    catalog.close();
  }

  @BeforeEach
  void listen() {
    log.start();
    ROOT.addAppender(log);
  }

  @AfterEach
  void listenNoMore() {
    ROOT.detachAppender(log);
  }

  @Test
  void shouldAnswerThatAModelIsDamagedAndLogOneLineOfWhy() throws Exception {
    catalog.put("models/damaged/manifest.json", "<html>a-secret-page</html>");

    for (HttpResponse<byte[]> response : everyCall("damaged")) {
      assertDamaged(response);
    }
    assertEquals(1, log.list.size(), log.list::toString);
    ILoggingEvent line = log.list.get(0);
    assertTrue(line.getFormattedMessage().contains("damaged"), line::toString);
    assertTrue(line.getFormattedMessage().contains("not JSON"), line::toString);
    assertFalse(line.getFormattedMessage().contains("a-secret-page"), line::toString);
    assertEquals(null, line.getThrowableProxy());
  }

  @Test
  void shouldAnswerThatAnotherModelsManifestIsDamaged() throws Exception {
    catalog.put(
        "models/another/manifest.json",
        new String(catalog.manifest.bytes(), StandardCharsets.UTF_8));

    for (HttpResponse<byte[]> response : everyCall("another")) {
      assertDamaged(response);
    }
  }

  /** As any other, what is damaged is read anew after five seconds, and not at each try. */
  @Test
  void shouldServeAModelThatWasPublishedAgain(@TempDir Path store) throws Exception {
    AtomicReference<Instant> now = new AtomicReference<>(Instant.EPOCH);
    PublishedModels models = new PublishedModels(new FolderStore(store), List.of(), now::get);
    Path manifest =
        Files.createDirectories(store.resolve("models/mended")).resolve("manifest.json");
    Files.writeString(manifest, "{}");
    assertThrows(ProblemException.class, () -> models.get("mended"));
    assertEquals(1, log.list.size(), log.list::toString);

    Files.writeString(manifest, "<html>");
    now.set(Instant.EPOCH.plusMillis(4999));
    assertThrows(ProblemException.class, () -> models.get("mended"));
    assertEquals(1, log.list.size(), log.list::toString);
    now.set(Instant.EPOCH.plusSeconds(5));
    assertThrows(ProblemException.class, () -> models.get("mended"));
    assertEquals(2, log.list.size(), "another fault is said: " + log.list);

    Files.writeString(
        manifest,
        new String(catalog.manifest.bytes(), StandardCharsets.UTF_8)
            .replace('"' + RunningCatalog.MODEL + '"', "\"mended\""));

    now.set(Instant.EPOCH.plusMillis(9999));
    assertThrows(ProblemException.class, () -> models.get("mended"));
    assertEquals(List.of(), models.all());
    now.set(Instant.EPOCH.plusSeconds(10));
    assertEquals("mended", models.get("mended").manifest().model().toString());
  }

  private static List<HttpResponse<byte[]>> everyCall(String model) throws Exception {
    return List.of(
        catalog.get("/v1/models/" + model),
        catalog.get("/v1/models/" + model + "/manifest"),
        catalog.post("/v1/models/" + model + "/shards", SHARDS));
  }

  private static void assertDamaged(HttpResponse<byte[]> response) throws Exception {
    String body = new String(response.body(), StandardCharsets.UTF_8);
    assertEquals(500, response.statusCode(), body);
    assertEquals("application/problem+json", RunningCatalog.type(response));
    assertTrue(
        RunningCatalog.json(response).path("type").asText().endsWith("/model-damaged"), body);
    assertFalse(body.contains("a-secret-page") || body.contains("JSON"), body);
  }
}
