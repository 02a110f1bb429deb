package io.splitcompute.catalog;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Sha256;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the catalog tells of models. */
final class ModelsTest {

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

  @Test
  void shouldListModelsAsOpenAiDoes() throws Exception {
    JsonNode list = RunningCatalog.json(catalog.get("/v1/models"));

    assertEquals("list", list.path("object").asText());
    assertEquals(1, list.path("data").size());
    JsonNode model = list.path("data").get(0);
    assertEquals(RunningCatalog.MODEL, model.path("id").asText());
    assertEquals("model", model.path("object").asText());
    assertEquals("splitcompute", model.path("owned_by").asText());
    assertTrue(model.path("created").isIntegralNumber());
  }

  @Test
  void shouldListNoModelsAsAnEmptyList(@TempDir Path empty) throws Exception {
    try (RunningCatalog none =
        RunningCatalog.start(empty, Map.of("splitcompute.models", "not-published-yet"))) {
      JsonNode list = RunningCatalog.json(none.get("/v1/models"));

      assertTrue(list.path("data").isArray() && list.path("data").isEmpty(), list.toString());
    }
  }

  @Test
  void shouldListTheOtherModelsWhereOneIsNotValid(@TempDir Path another) throws Exception {
    try (RunningCatalog damaged = RunningCatalog.start(another, Map.of())) {
      damaged.put("models/-no name-/manifest.json", "{}");
      damaged.put("models/empty/manifest.json", "{}");
      damaged.put("models/no-json/manifest.json", "<html>");
      damaged.put(
          "models/from-tomorrow/manifest.json",
          new String(damaged.manifest.bytes(), StandardCharsets.UTF_8)
              .replace("splitcompute.manifest/1", "splitcompute.manifest/99"));
      damaged.put(
          "models/another/manifest.json",
          new String(damaged.manifest.bytes(), StandardCharsets.UTF_8));

      JsonNode list = RunningCatalog.json(damaged.get("/v1/models"));

      assertEquals(1, list.path("data").size(), list.toString());
      assertEquals(RunningCatalog.MODEL, list.path("data").get(0).path("id").asText());
    }
  }

  @Test
  void shouldRememberForTheListWhatItReadForTheModel(@TempDir Path another) throws Exception {
    try (RunningCatalog fresh = RunningCatalog.start(another, Map.of())) {
      JsonNode listed = RunningCatalog.json(fresh.get("/v1/models")).path("data");
      fresh.put("models/" + RunningCatalog.MODEL + "/manifest.json", "{}");

      assertEquals(listed, RunningCatalog.json(fresh.get("/v1/models")).path("data"));
      assertEquals(
          listed.get(0), RunningCatalog.json(fresh.get("/v1/models/" + RunningCatalog.MODEL)));
    }
  }

  @Test
  void shouldTellWhatASplitNeedsToKnow() throws Exception {
    JsonNode model = RunningCatalog.json(catalog.get("/v1/models/gpt2-plain"));

    assertEquals(catalog.manifest.layers(), model.path("layers").asInt());
    assertEquals(catalog.manifest.hiddenSize(), model.path("hiddenSize").asInt());
    assertEquals("[\"f32\",\"f16\"]", model.path("dtypes").toString());
    assertEquals(2048, model.path("limits").path("maxInputs").asInt());
    assertEquals(64, model.path("limits").path("maxTokensPerInput").asInt());
    assertTrue(model.path("limits").path("maxTokensPerRequest").asInt() > 0);
    assertEquals(Sha256.of(catalog.manifest.bytes()), model.path("revision").asText());
  }

  @Test
  void shouldServeTheManifestByteForByte() throws Exception {
    HttpResponse<byte[]> response = catalog.get("/v1/models/gpt2-plain/manifest");

    assertEquals(200, response.statusCode());
    assertTrue(RunningCatalog.type(response).startsWith("application/json"));
    assertArrayEquals(catalog.manifest.bytes(), response.body());
  }

  @Test
  void shouldNotSendAManifestThatTheCallerHas() throws Exception {
    String tag =
        catalog.get("/v1/models/gpt2-plain/manifest").headers().firstValue("ETag").orElseThrow();

    HttpResponse<byte[]> response =
        catalog.get("/v1/models/gpt2-plain/manifest", "If-None-Match", tag);

    assertEquals(304, response.statusCode());
    assertEquals(0, response.body().length);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/v1/models/gpt2-plainer",
        "/v1/models/gpt2-plainer/manifest",
        "/v1/models/..%2f..%2fshards/manifest",
        "/v1/models/a..b",
        "/v1/models/.hidden",
        "/v1/models/x%00y"
      })
  void shouldAnswer404ForAModelThatIsNotThere(String path) throws Exception {
    HttpResponse<byte[]> response = catalog.get(path);

    assertEquals(404, response.statusCode());
    assertEquals("application/problem+json", RunningCatalog.type(response));
    JsonNode problem = RunningCatalog.json(response);
    assertTrue(problem.path("type").asText().endsWith("-found"));
    assertEquals(problem.path("detail"), problem.path("error").path("message"));
  }

  @Test
  void shouldBeHealthy() throws Exception {
    assertEquals(200, catalog.get("/health").statusCode());
  }
}
