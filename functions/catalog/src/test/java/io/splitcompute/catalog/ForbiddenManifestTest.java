package io.splitcompute.catalog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/**
 * A role that may list but {@code models/} is answered 403 for an object that is not there. Callers
 * must not learn from it which names exist or that the function is misconfigured, whoever runs it
 * must: the answer is 404, and the log says what S3 said.
 */
final class ForbiddenManifestTest {

  private static final Logger ROOT =
      (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
  private static final byte[] DENIED =
      "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>".getBytes(UTF_8);

  private final ListAppender<ILoggingEvent> log = new ListAppender<>();
  private HttpServer s3;
  private RunningCatalog catalog;

  @BeforeEach
  void start(@TempDir Path folder) throws Exception {
    s3 = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    s3.createContext(
        "/",
        exchange -> {
          exchange.getResponseHeaders().set("Content-Type", "application/xml");
          exchange.sendResponseHeaders(403, DENIED.length);
          exchange.getResponseBody().write(DENIED);
          exchange.close();
        });
    s3.start();
    catalog =
        RunningCatalog.start(
            folder,
            Map.of("splitcompute.s3-endpoint", "http://127.0.0.1:" + s3.getAddress().getPort()));
    log.start();
    ROOT.addAppender(log);
  }

  @AfterEach
  void stop() {
    ROOT.detachAppender(log);
    catalog.close();
    s3.stop(0);
  }

  @Test
  void shouldAnswer404AndLogWhatS3Said() throws Exception {
    String model = "/v1/models/" + RunningCatalog.MODEL;
    for (HttpResponse<byte[]> response :
        List.of(
            catalog.get(model),
            catalog.get(model + "/manifest"),
            catalog.post(model + "/shards", "{\"shards\":[\"" + "0".repeat(64) + "\"]}"))) {
      assertEquals(404, response.statusCode());
      assertTrue(RunningCatalog.json(response).path("type").asText().endsWith("model-not-found"));
    }

    assertTrue(
        log.list.stream()
            .map(ILoggingEvent::getFormattedMessage)
            .anyMatch(
                line ->
                    line.contains("403")
                        && line.contains(RunningCatalog.MODEL)
                        && line.contains("s3:GetObject on models/*")),
        log.list::toString);
  }
}
