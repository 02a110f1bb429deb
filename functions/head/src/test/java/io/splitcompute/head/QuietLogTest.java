package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/**
 * What is sent to be embedded is somebody's text. It is in no log, whether the request is answered
 * or refused, and whatever of it is wrong.
 */
final class QuietLogTest {

  private static final Logger ROOT =
      (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
  private static final Logger REQUESTS =
      (Logger) LoggerFactory.getLogger("io.splitcompute.requests");
  private static final String TEXT = "intimate";

  private static final ListAppender<ILoggingEvent> LOG = new ListAppender<>();
  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start("bert-mean");
    // As where a machine reads it: requests are logged.
    REQUESTS.setLevel(Level.INFO);
    LOG.start();
    ROOT.addAppender(LOG);
  }

  @AfterAll
  static void stop() {
    ROOT.detachAppender(LOG);
    REQUESTS.setLevel(Level.WARN);
    head.close();
  }

  @Test
  void shouldLogNoTextOfARequest() throws Exception {
    assertEquals(200, status(Map.of("model", "bert-mean", "input", TEXT)));
    assertEquals(200, status(Map.of("model", "bert-mean", "input", TEXT, "cut", 0)));
    assertEquals(400, status(Map.of("model", "bert-mean", "input", TEXT, "cut", 99)));
    assertEquals(400, status(Map.of("model", "bert-mean", "input", TEXT, "pooling", TEXT)));
    assertEquals(400, status(Map.of("model", "bert-mean", "input", TEXT, TEXT, 1)));
    assertEquals(404, status(Map.of("model", TEXT, "input", TEXT)));
    for (String body : new String[] {TEXT, "{\"input\":\"" + TEXT, "\"" + TEXT + "\""}) {
      assertEquals(
          400,
          head.embed(body.getBytes(StandardCharsets.UTF_8), "Content-Type", "application/json")
              .statusCode());
    }
    assertEquals(
        415,
        head.embed(TEXT.getBytes(StandardCharsets.UTF_8), "Content-Type", "text/plain")
            .statusCode());
    assertEquals(404, head.send("GET", "/v2?text=" + TEXT).statusCode());

    String logged =
        LOG.list.stream()
            .map(
                event ->
                    event.getFormattedMessage()
                        + event.getKeyValuePairs()
                        + event.getThrowableProxy())
            .collect(Collectors.joining("\n"));
    assertTrue(logged.contains("/v1/embed"), logged);
    assertFalse(logged.contains(TEXT), logged);
  }

  private static int status(Map<String, ?> body) throws Exception {
    return head.embed(body).statusCode();
  }
}
