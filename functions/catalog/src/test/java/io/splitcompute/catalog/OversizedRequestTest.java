package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A body is kept in memory until it is whole, so its size is bounded before it is read, whether its
 * length is announced or not; what is within the bound and nonsense is refused in words.
 */
@Timeout(60)
final class OversizedRequestTest {

  private static final int BOUND = 10 << 20;
  private static final String PATH = "/v1/models/gpt2-plain/shards";

  @TempDir static Path folder;

  private static RunningCatalog catalog;

  @BeforeAll
  static void start() throws Exception {
    catalog = RunningCatalog.start(folder, Map.of());
  }

  @AfterAll
  static void stop() {
    catalog.close();
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void shouldRefuseABodyAboveTheBound(boolean announced) throws Exception {
    byte[] body = new byte[BOUND + 1];

    HttpResponse<byte[]> response = catalog.send(post(publisher(body, announced)));

    assertEquals(413, response.statusCode());
    assertEquals("application/problem+json", RunningCatalog.type(response));
    assertTrue(RunningCatalog.json(response).path("type").asText().endsWith("too-large"));
    assertEquals(200, catalog.get("/health").statusCode());
  }

  @Test
  void shouldRefuseNestingWithoutEnd() throws Exception {
    HttpResponse<byte[]> response = catalog.post(PATH, "{\"shards\":" + "[".repeat(1 << 20));

    assertEquals(400, response.statusCode());
    assertTrue(RunningCatalog.json(response).path("type").asText().endsWith("invalid-request"));
  }

  @Test
  void shouldRefuseAPathAndHeadersWithoutEnd() throws Exception {
    assertTrue(catalog.get("/v1/models/" + "a".repeat(100_000)).statusCode() / 100 == 4);
    assertTrue(catalog.get("/health", "X-Long", "a".repeat(100_000)).statusCode() / 100 == 4);
    assertEquals(200, catalog.get("/health").statusCode());
  }

  private static HttpRequest.BodyPublisher publisher(byte[] body, boolean announced) {
    HttpRequest.BodyPublisher whole = HttpRequest.BodyPublishers.ofByteArray(body);
    return announced ? whole : HttpRequest.BodyPublishers.fromPublisher(whole);
  }

  private static HttpRequest post(HttpRequest.BodyPublisher body) {
    return HttpRequest.newBuilder(URI.create(catalog.server() + PATH))
        .header("Content-Type", "application/json")
        .POST(body)
        .build();
  }
}
