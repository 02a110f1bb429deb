package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.splitcompute.head.model.Heads;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** What is logged of a request that fails tells which request it was. */
final class FailureLogTest {

  private static final Logger ROOT =
      (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);

  private final ListAppender<ILoggingEvent> log = new ListAppender<>();

  @BeforeEach
  void listen() {
    log.start();
    ROOT.addAppender(log);
  }

  @AfterEach
  void stopListening() {
    ROOT.detachAppender(log);
  }

  @Test
  void shouldNameTheRequestWhereItFailsOnItsOwnThread() throws Exception {
    List<ILoggingEvent> errors = errorsOf("intimate");

    assertTrue(
        errors.stream().noneMatch(error -> error.getThreadName().startsWith("device")),
        errors.toString());
  }

  @Test
  void shouldNameTheRequestWhereItFailsOnTheDevices() throws Exception {
    List<ILoggingEvent> errors = errorsOf(List.of(List.of(1, 2)));

    assertTrue(
        errors.stream().anyMatch(error -> error.getThreadName().startsWith("device")),
        errors.toString());
  }

  /** What is logged of an input that fails, each line with the id of its request. */
  private List<ILoggingEvent> errorsOf(Object input) throws Exception {
    try (RunningHead head = RunningHead.start("bert-mean")) {
      // Weights and tokenizer are gone: nothing that a caller sends brings them to fail.
      head.context().getBean(Heads.class).get("bert-mean").close();

      assertEquals(
          500,
          head.embed(Map.of("model", "bert-mean", "input", input), "X-Request-Id", "unlucky-1")
              .statusCode());
    }
    List<ILoggingEvent> errors =
        log.list.stream().filter(event -> event.getLevel() == Level.ERROR).toList();
    assertFalse(errors.isEmpty());
    for (ILoggingEvent error : errors) {
      String all = error + " " + error.getKeyValuePairs() + error.getMDCPropertyMap();
      assertTrue(all.contains("unlucky-1"), all);
      assertFalse(all.contains("intimate"), all);
    }
    return errors;
  }
}
