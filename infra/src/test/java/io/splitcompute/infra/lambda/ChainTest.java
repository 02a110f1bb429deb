package io.splitcompute.infra.lambda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.infra.s3.CloudS3;
import io.splitcompute.infra.s3.SmallModel;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import io.splitcompute.weights.store.StoreKeys;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * The whole chain as Lambda hosts it: a gateway that turns HTTP into events, both functions by
 * their command lines, the model in S3, and the SDK in Chromium.
 */
@Timeout(240)
@EnabledOnOs(value = OS.LINUX, disabledReason = "the image is Linux")
@ExtendWith(CloudS3.Extension.class)
final class ChainTest {

  private static final JsonMapper JSON = new JsonMapper();
  private static final String ACTIVATIONS = "application/vnd.splitcompute.activations";
  private static final String LOCATION = "application/vnd.splitcompute.location+json";
  private static final int MAX_MESSAGE_BYTES = 4_500_000;
  private static final double LEAST_COSINE = 0.9999;
  private static final long BROWSER_SECONDS = 180;

  private static final Map<String, FunctionHost> FUNCTIONS = new LinkedHashMap<>();
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static CloudS3 s3;
  private static String weights;
  private static Manifest model;
  private static Gateway gateway;

  @BeforeAll
  @Timeout(240)
  static void start(CloudS3 cloud, @TempDir Path folder) throws Exception {
    s3 = cloud;
    weights = s3.bucket();
    String activations = s3.bucket();
    FolderStore store = new FolderStore(folder.resolve("store"));
    model = SmallModel.bookwormIn(store);
    new Publisher(s3.client(), weights).publish(store, model.model(), (done, all) -> {});
    SamTemplate template = new SamTemplate(CloudS3.LOCAL_ORIGIN);
    for (FunctionFolder function :
        List.of(
            FunctionFolder.catalog(folder.resolve("catalog"), template.handler("Catalog")),
            FunctionFolder.head(folder.resolve("head")))) {
      FUNCTIONS.put(
          function.name(),
          FunctionHost.start(
              function,
              template.environment(function.name(), s3, weights, activations),
              1,
              Files.createDirectory(folder.resolve("of" + function.name()))));
    }
    gateway = new Gateway(template, FUNCTIONS);
    // The first event comes with the start, for which the gateway may not wait long enough.
    for (String path : List.of("/v1/models", "/health")) {
      int status;
      do {
        status = send(request(path).build()).statusCode();
      } while (status == 503);
      assertEquals(200, status, path);
    }
  }

  @AfterAll
  static void stop() {
    if (gateway != null) {
      gateway.close();
    }
    FUNCTIONS.values().forEach(FunctionHost::close);
  }

  @Test
  void shouldEmbedInABrowserAtCuts0And4And8(@TempDir Path temporary) throws Exception {
    JsonNode page = embedInABrowser("8,4,0", temporary.resolve("said"));

    JsonNode embeddings = page.path("embeddings");
    assertEquals(3, embeddings.size());
    for (JsonNode embedding : embeddings) {
      double cosine = cosine(embeddings.path(0), embedding);
      assertTrue(cosine > LEAST_COSINE, () -> "cosine " + cosine);
    }
    Set<String> fetched = new TreeSet<>();
    page.path("requests").forEach(request -> fetched.add(request.asText()));
    for (Manifest.Unit unit : model.units()) {
      // Embedding takes no logits.
      if (!unit.name().equals("lm_head")) {
        String key = StoreKeys.shard(unit.variant("f32").sha256());
        assertTrue(
            fetched.contains("200 GET %s/%s/%s".formatted(s3.endpoint(), weights, key)),
            () -> unit.name() + " did not come from S3: " + fetched);
      }
    }
    assertTrue(gateway.served().contains("200 POST /v1/models/{model}/shards"));
    assertTrue(gateway.served().contains("200 POST /v1/embed"));
  }

  @Test
  void shouldAnswerAsManyBytesAsLambdaLetsThroughAndHandOverMore() throws Exception {
    HttpResponse<byte[]> whole = send(embed(activations(437)).build());

    assertEquals(200, whole.statusCode());
    assertEquals(ACTIVATIONS, header(whole, "Content-Type"));
    assertTrue(whole.body().length > 0.99 * MAX_MESSAGE_BYTES, () -> whole.body().length + "");

    HttpResponse<byte[]> elsewhere = send(embed(activations(439)).build());

    assertEquals(200, elsewhere.statusCode());
    assertEquals(LOCATION, header(elsewhere, "Content-Type"));
    JsonNode location = JSON.readTree(elsewhere.body());
    HttpResponse<byte[]> stored =
        send(HttpRequest.newBuilder(URI.create(location.path("url").asText())).build());
    assertEquals(200, stored.statusCode());
    assertTrue(stored.body().length > MAX_MESSAGE_BYTES, () -> stored.body().length + "");
    assertEquals(location.path("sha256").asText(), Sha256.of(stored.body()));
  }

  @Test
  void shouldRefuseARequestBeyondTheLimits() throws Exception {
    int events = gateway.served().size();
    for (int bytes : new int[] {Gateway.MAX_PAYLOAD_BYTES, Gateway.MAX_REQUEST_BYTES + 1}) {
      assertEquals(413, send(embed("x".repeat(bytes)).build()).statusCode());
    }
    assertEquals(
        List.of("413 POST /v1/embed", "413 POST /v1/embed"),
        gateway.served().subList(events, gateway.served().size()));
  }

  @Test
  void shouldRefuseEventsBeyondTheQueueAndGoOn() throws Exception {
    List<CompletableFuture<HttpResponse<byte[]>>> answers = new ArrayList<>();
    for (int i = 0; i < 3 * Gateway.QUEUE; i++) {
      answers.add(
          HTTP.sendAsync(embed(activations(100)).build(), HttpResponse.BodyHandlers.ofByteArray()));
    }
    Set<Integer> statuses = new TreeSet<>();
    for (CompletableFuture<HttpResponse<byte[]>> answer : answers) {
      statuses.add(answer.get().statusCode());
    }
    assertEquals(Set.of(200, 429), statuses);
    assertEquals(200, send(embed(activations(1)).build()).statusCode());
  }

  @Test
  void shouldServeTheListedRoutesToPagesOfTheSiteAlone() throws Exception {
    assertEquals(404, send(request("/v1/nothing").build()).statusCode());
    for (String origin : List.of(CloudS3.LOCAL_ORIGIN, "https://other.example")) {
      String allowed = origin.equals(CloudS3.LOCAL_ORIGIN) ? origin : "";
      HttpResponse<byte[]> preflight =
          send(
              request("/v1/embed")
                  .method("OPTIONS", HttpRequest.BodyPublishers.noBody())
                  .header("Origin", origin)
                  .header("Access-Control-Request-Method", "POST")
                  .header("Access-Control-Request-Headers", "content-type")
                  .build());
      assertEquals(204, preflight.statusCode());
      assertEquals(allowed, header(preflight, "Access-Control-Allow-Origin"));

      for (HttpResponse<byte[]> answer :
          List.of(
              send(request("/v1/models").header("Origin", origin).build()),
              send(embed("{").header("Origin", origin).build()))) {
        assertEquals(allowed, header(answer, "Access-Control-Allow-Origin"));
      }
    }
  }

  private static JsonNode embedInABrowser(String cuts, Path said) throws Exception {
    ProcessBuilder npm =
        new ProcessBuilder("npm", "run", "--silent", "embed", "--workspace", "e2e")
            .directory(Path.of("..", "web").toFile())
            .redirectOutput(said.toFile())
            .redirectError(ProcessBuilder.Redirect.INHERIT);
    npm.environment()
        .putAll(
            Map.of(
                "ENDPOINT",
                gateway.address().toString(),
                "ORIGIN",
                CloudS3.LOCAL_ORIGIN,
                "MODEL",
                model.model().value(),
                "DTYPE",
                "f32",
                "CUTS",
                cuts,
                "TEXT",
                "It was a dark and stormy night."));
    Process browser = npm.start();
    if (!browser.waitFor(BROWSER_SECONDS, TimeUnit.SECONDS)) {
      browser.descendants().forEach(ProcessHandle::destroyForcibly);
      browser.destroyForcibly();
      throw new AssertionError("the page did not come to an end");
    }
    assertEquals(0, browser.exitValue(), "npm run embed says why");
    return JSON.readTree(said.toFile());
  }

  private static double cosine(JsonNode a, JsonNode b) {
    double dot = 0;
    double squareA = 0;
    double squareB = 0;
    for (int i = 0; i < a.size(); i++) {
      dot += a.path(i).asDouble() * b.path(i).asDouble();
      squareA += a.path(i).asDouble() * a.path(i).asDouble();
      squareB += b.path(i).asDouble() * b.path(i).asDouble();
    }
    return dot / Math.sqrt(squareA * squareB);
  }

  /** Ten inputs, whose activations behind the first layer take 1,028 bytes a token. */
  private static String activations(int tokens) throws IOException {
    List<List<Integer>> inputs = Collections.nCopies(10, Collections.nCopies(tokens, 1));
    return JSON.writeValueAsString(
        Map.of("model", model.model().value(), "input", inputs, "cut", 1, "dtype", "f32"));
  }

  private static HttpRequest.Builder embed(String body) {
    return request("/v1/embed")
        .header("Content-Type", "application/json")
        .header("Accept", ACTIVATIONS + ", " + LOCATION)
        .POST(HttpRequest.BodyPublishers.ofString(body));
  }

  private static HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(gateway.address().resolve(path));
  }

  private static HttpResponse<byte[]> send(HttpRequest request)
      throws IOException, InterruptedException {
    return HTTP.send(request, HttpResponse.BodyHandlers.ofByteArray());
  }

  private static String header(HttpResponse<?> response, String name) {
    return response.headers().firstValue(name).orElse("");
  }
}
