package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Presigned URLs carry the function's own rights, so whoever could name the key could read the
 * bucket: only shards that the asked model's manifest names are signed, for GET and for minutes.
 */
final class ShardUrlsTest {

  private static final String PATH = "/v1/models/gpt2-plain/shards";
  private static final Duration LIFETIME = Duration.ofSeconds(2);

  @TempDir static Path folder;

  private static RunningCatalog catalog;

  @BeforeAll
  static void start() throws Exception {
    catalog =
        RunningCatalog.start(
            folder, Map.of("splitcompute.shard-url-seconds", LIFETIME.toSeconds()));
  }

  @AfterAll
  static void stop() {
    catalog.close();
  }

  private static HttpResponse<byte[]> sign(List<String> shards) throws IOException {
    return catalog.post(PATH, RunningCatalog.JSON.writeValueAsString(Map.of("shards", shards)));
  }

  private static Manifest.Shard shard(String unit) {
    return catalog.manifest.unit(unit).variant("f16");
  }

  private static HttpResponse<byte[]> fetch(String url, String method) throws IOException {
    return catalog.send(
        HttpRequest.newBuilder(URI.create(url))
            .method(method, HttpRequest.BodyPublishers.noBody())
            .build());
  }

  @Test
  void shouldSignEveryShardThatIsAskedForInOrder() throws Exception {
    List<String> asked = List.of(shard("layer.1").sha256(), shard("embeddings").sha256());

    HttpResponse<byte[]> response = sign(asked);

    assertEquals(200, response.statusCode());
    JsonNode urls = RunningCatalog.json(response).path("urls");
    assertEquals(
        asked, List.of(urls.get(0).path("sha256").asText(), urls.get(1).path("sha256").asText()));
    for (JsonNode url : urls) {
      HttpResponse<byte[]> object = fetch(url.path("url").asText(), "GET");
      assertEquals(200, object.statusCode());
      assertEquals(url.path("sha256").asText(), Sha256.of(object.body()));
    }
  }

  @Test
  void shouldSayWhenAUrlExpiresAndMeanIt() throws Exception {
    JsonNode url = RunningCatalog.json(sign(List.of(shard("final").sha256()))).path("urls").get(0);
    Instant expires = Instant.parse(url.path("expires").asText());

    Thread.sleep(Math.max(0, Duration.between(Instant.now(), expires).toMillis()) + 1_100);

    assertEquals(403, fetch(url.path("url").asText(), "GET").statusCode());
  }

  @Test
  void shouldNotLetAUrlServeForAnotherMethodOrKey() throws Exception {
    String layer = shard("layer.0").sha256();
    String url = RunningCatalog.json(sign(List.of(layer))).path("urls").get(0).path("url").asText();

    assertEquals(403, fetch(url, "PUT").statusCode());
    assertEquals(403, fetch(url, "DELETE").statusCode());
    assertEquals(403, fetch(url.replace(layer, shard("layer.1").sha256()), "GET").statusCode());
  }

  @Test
  void shouldNotSignAnObjectThatNoManifestNames() throws Exception {
    String stray = Sha256.of(new byte[] {1});
    catalog.put("shards/" + stray + ".safetensors", "someone else's");

    HttpResponse<byte[]> response = sign(List.of(shard("layer.0").sha256(), stray));

    assertEquals(404, response.statusCode());
    assertTrue(RunningCatalog.json(response).path("type").asText().endsWith("shard-not-found"));
  }

  @Test
  void shouldTake16ShardsAndNoMore() throws Exception {
    String sha256 = shard("layer.0").sha256();

    assertEquals(200, sign(Collections.nCopies(16, sha256)).statusCode());
    assertEquals(400, sign(Collections.nCopies(17, sha256)).statusCode());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "{",
        "[]",
        "{}",
        "null",
        "{\"shards\": null}",
        "{\"shards\": []}",
        "{\"shards\": \"x\"}",
        "{\"shards\": [1]}",
        "{\"shards\": [\"../../models/gpt2-plain/manifest.json\"]}",
        "{\"shards\": [\"ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789\"]}",
        "{\"shards\": [\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\"]}",
        "{\"units\": [\"layer.0\"]}"
      })
  void shouldRefuseABodyThatIsNoListOfHashes(String body) throws Exception {
    HttpResponse<byte[]> response = catalog.post(PATH, body);

    assertEquals(400, response.statusCode());
    assertEquals("application/problem+json", RunningCatalog.type(response));
    JsonNode problem = RunningCatalog.json(response);
    assertTrue(problem.path("type").asText().endsWith("invalid-request"));
    assertTrue(problem.path("detail").asText().length() > 10);
  }

  @Test
  void shouldAnswer404ForShardsOfAnUnknownModel() throws Exception {
    HttpResponse<byte[]> response =
        catalog.post(
            "/v1/models/unknown/shards", "{\"shards\": [\"" + shard("layer.0").sha256() + "\"]}");

    assertEquals(404, response.statusCode());
    assertTrue(RunningCatalog.json(response).path("type").asText().endsWith("model-not-found"));
  }
}
