package io.splitcompute.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Asks a catalog for the URL of one unit's shard at a fixed rate, whatever the answers take: an
 * open loop. A time is from when a request was due, so that a server that stalls is not spared
 * those that it kept from being sent.
 */
final class SigningLoad {

  private static final JsonMapper JSON = new JsonMapper();
  private static final int MOST_AT_ONCE = 512;

  /**
   * What came of it.
   *
   * @param requestsPerSecond that were answered
   * @param failed answers but 200, and none
   */
  record Figures(
      double rate,
      double requestsPerSecond,
      double p50Milliseconds,
      double p99Milliseconds,
      double mostMilliseconds,
      int answered,
      int failed) {}

  private final HttpClient client = HttpClient.newHttpClient();
  private final List<HttpRequest> requests = new ArrayList<>();

  /**
   * @throws IOException if there is no such model
   */
  SigningLoad(URI cloud, String model) throws IOException, InterruptedException {
    URI address = cloud.resolve("/v1/models/" + model + "/");
    HttpResponse<byte[]> manifest =
        client.send(
            HttpRequest.newBuilder(address.resolve("manifest")).build(),
            HttpResponse.BodyHandlers.ofByteArray());
    if (manifest.statusCode() != 200) {
      throw new IOException("the manifest of " + model + " answers " + manifest.statusCode());
    }
    for (JsonNode sha256 : JSON.readTree(manifest.body()).findValues("sha256")) {
      requests.add(signing(address, sha256.asText()));
    }
    // Parts have hashes too, which nothing is signed for.
    requests.removeIf(request -> !signs(request));
  }

  private static HttpRequest signing(URI address, String sha256) throws IOException {
    return HttpRequest.newBuilder(address.resolve("shards"))
        .header("Content-Type", "application/json")
        .POST(
            HttpRequest.BodyPublishers.ofByteArray(
                JSON.writeValueAsBytes(Map.of("shards", List.of(sha256)))))
        .build();
  }

  private boolean signs(HttpRequest request) {
    try {
      return client.send(request, HttpResponse.BodyHandlers.discarding()).statusCode() == 200;
    } catch (IOException | InterruptedException failed) {
      return false;
    }
  }

  /** Sends at a rate for a time. */
  Figures run(int rate, int seconds) throws InterruptedException {
    int count = rate * seconds;
    double[] milliseconds = new double[count];
    AtomicInteger failed = new AtomicInteger();
    Semaphore places = new Semaphore(MOST_AT_ONCE);
    List<CompletableFuture<?>> sent = new ArrayList<>(count);
    long began = System.nanoTime();
    for (int i = 0; i < count; i++) {
      long due = began + (long) (i * (1e9 / rate));
      sleepUntil(due);
      places.acquire();
      int one = i;
      sent.add(
          client
              .sendAsync(requests.get(i % requests.size()), HttpResponse.BodyHandlers.ofByteArray())
              .handle(
                  (answer, failure) -> {
                    milliseconds[one] = (System.nanoTime() - due) / 1e6;
                    if (failure != null || answer.statusCode() != 200) {
                      failed.incrementAndGet();
                    }
                    places.release();
                    return null;
                  }));
    }
    CompletableFuture.allOf(sent.toArray(CompletableFuture[]::new)).join();
    double took = (System.nanoTime() - began) / 1e9;
    Arrays.sort(milliseconds);
    int answered = count - failed.get();
    return new Figures(
        rate,
        answered / took,
        LoadGenerator.percentile(milliseconds, 0.5),
        LoadGenerator.percentile(milliseconds, 0.99),
        milliseconds[count - 1],
        answered,
        failed.get());
  }

  private static void sleepUntil(long due) throws InterruptedException {
    long left = due - System.nanoTime();
    if (left > 0) {
      Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
    }
  }
}
