package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A catalog whose weights are in a folder: it has models, and no URLs for their shards. */
final class FolderCatalogTest {

  @TempDir static Path folder;

  private static RunningCatalog catalog;

  @BeforeAll
  static void start() throws Exception {
    catalog =
        RunningCatalog.start(
            folder, Map.of("splitcompute.weights", "file:" + folder.resolve("store")));
  }

  @AfterAll
  static void stop() {
    catalog.close();
  }

  @Test
  void shouldServeModelsAndManifests() throws Exception {
    JsonNode models = RunningCatalog.json(catalog.get("/v1/models")).path("data");
    assertEquals(RunningCatalog.MODEL, models.path(0).path("id").asText());
    assertArrayEquals(
        catalog.manifest.bytes(), catalog.get("/v1/models/gpt2-plain/manifest").body());
  }

  @Test
  void shouldSayThatAFolderHasNoUrls() throws Exception {
    HttpResponse<byte[]> response =
        catalog.post(
            "/v1/models/gpt2-plain/shards",
            "{\"shards\": [\"" + catalog.manifest.unit("final").variant("f16").sha256() + "\"]}");

    assertEquals(404, response.statusCode());
    assertEquals("application/problem+json", RunningCatalog.type(response));
    JsonNode problem = RunningCatalog.json(response);
    assertTrue(problem.path("type").asText().endsWith("/shard-not-found"));
    assertTrue(problem.path("detail").asText().contains("s3:BUCKET"));
  }
}
