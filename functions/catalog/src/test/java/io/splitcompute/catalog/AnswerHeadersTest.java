package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Whatever is asked, the answer must not be taken for a page by a browser, be kept by a cache for
 * somebody else, tell an attacker the server's make, or leave its caller without a word and a
 * number to ask about.
 */
final class AnswerHeadersTest {

  @TempDir static Path folder;

  private static RunningCatalog catalog;

  @BeforeAll
  static void start() throws Exception {
    System.setProperty("jdk.httpclient.allowRestrictedHeaders", "origin");
    catalog = RunningCatalog.start(folder, Map.of());
  }

  @AfterAll
  static void stop() {
    catalog.close();
  }

  @ParameterizedTest
  @CsvSource({
    "GET, /v1/models, 200",
    "GET, /v1/models/gpt2-plain, 200",
    "GET, /v1/models/gpt2-plain/manifest, 200",
    "HEAD, /v1/models, 200",
    "GET, /health, 200",
    "GET, /v1/models/unknown, 404",
    "GET, /v1/unknown, 404",
    "GET, /unknown, 404",
    "DELETE, /v1/models, 405",
    "POST, /v1/models/gpt2-plain/shards, 415",
    "OPTIONS, /v1/models, 200",
    "OPTIONS, /v1/unknown, 403",
    "TRACE, /v1/models, 405"
  })
  void shouldBeSafeAndNumbered(String method, String path, int status) throws Exception {
    HttpResponse<byte[]> response = ask(method, path);

    assertEquals(status, response.statusCode());
    assertEquals(Optional.of("nosniff"), header(response, "X-Content-Type-Options"));
    assertFalse(header(response, "Server").isPresent(), "Server");
    assertFalse(header(response, "X-Powered-By").isPresent(), "X-Powered-By");
    assertTrue(header(response, "X-Request-Id").orElse("").matches("[A-Za-z0-9-]{8,64}"));
    if (path.startsWith("/v1/") || path.equals("/health")) {
      assertEquals(
          path.endsWith("manifest") ? "no-cache" : "no-store",
          header(response, "Cache-Control").orElse(""));
    }
    if (status >= 400 && !method.equals("HEAD")) {
      assertEquals("application/problem+json", RunningCatalog.type(response));
      assertTrue(RunningCatalog.json(response).path("type").asText().contains("/problems/"), path);
    }
  }

  @Test
  void shouldTakeACallersNumberOnlyIfItIsFitForALog() throws Exception {
    assertEquals(
        Optional.of("call-1"),
        header(catalog.get("/v1/models", "X-Request-Id", "call-1"), "X-Request-Id"));
    String unfit = "<script>";
    assertFalse(
        header(catalog.get("/v1/models", "X-Request-Id", unfit), "X-Request-Id")
            .orElse("")
            .contains(unfit));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "200 | content-type,authorization",
        "200 | authorization,openai-project,x-stainless-os,x-stainless-retry-count",
        "403 | content-type,x-other"
      })
  void shouldAllowPagesTheListedHeaders(int status, String asked) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(catalog.server() + "/v1/models"))
            .header("Origin", "https://site.example")
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", asked)
            .method("OPTIONS", HttpRequest.BodyPublishers.noBody())
            .build();

    assertEquals(status, catalog.send(request).statusCode());
  }

  private static HttpResponse<byte[]> ask(String method, String path) throws Exception {
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(catalog.server() + path));
    if (method.equals("OPTIONS")) {
      request
          .header("Origin", "https://site.example")
          .header("Access-Control-Request-Method", "GET");
    }
    if (method.equals("POST")) {
      request
          .header("Content-Type", "text/plain")
          .POST(HttpRequest.BodyPublishers.ofString("shards"));
    } else {
      request.method(method, HttpRequest.BodyPublishers.noBody());
    }
    return catalog.send(request.build());
  }

  private static Optional<String> header(HttpResponse<?> response, String name) {
    return response.headers().firstValue(name);
  }
}
