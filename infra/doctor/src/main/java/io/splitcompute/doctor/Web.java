package io.splitcompute.doctor;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** HTTP as a page of an origin speaks it, with bounds on what is read and how long that takes. */
final class Web {

  private static final int MOST_BYTES = 1 << 26;
  private static final JsonMapper JSON = new JsonMapper();

  private final HttpClient http =
      HttpClient.newBuilder()
          .connectTimeout(Duration.ofSeconds(10))
          .followRedirects(HttpClient.Redirect.NEVER)
          .build();
  private final String origin;
  private final Duration timeout;

  /**
   * @param origin of the page
   * @param timeout of each request and its whole answer
   */
  Web(String origin, Duration timeout) {
    this.origin = origin;
    this.timeout = timeout;
  }

  /** An answer, whatever its status. */
  record Answer(int status, HttpResponse<?> response, byte[] body) {

    /** A header's values, joined; empty if there is none. */
    String header(String name) {
      return String.join(", ", response.headers().allValues(name));
    }

    JsonNode json() throws IOException {
      return JSON.readTree(body);
    }

    String text() {
      return new String(body, StandardCharsets.UTF_8);
    }
  }

  Answer get(URI uri, String... headers) throws IOException, InterruptedException {
    return send(request(uri, headers).GET(), MOST_BYTES);
  }

  /**
   * @param mostBytes what is read of the answer; the rest is cut off
   */
  Answer get(URI uri, int mostBytes) throws IOException, InterruptedException {
    return send(request(uri).GET(), mostBytes);
  }

  Answer post(URI uri, String json, String... headers) throws IOException, InterruptedException {
    return send(
        request(uri, headers)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(json)),
        MOST_BYTES);
  }

  /** What a browser asks before a request that is not simple. */
  Answer preflight(URI uri, String method, String header) throws IOException, InterruptedException {
    return send(
        request(
                uri,
                "Access-Control-Request-Method",
                method,
                "Access-Control-Request-Headers",
                header)
            .method("OPTIONS", HttpRequest.BodyPublishers.noBody()),
        MOST_BYTES);
  }

  /** Whether an answer lets pages of the origin read it. */
  boolean lets(Answer answer) {
    String allowed = answer.header("Access-Control-Allow-Origin");
    return allowed.equals("*") || allowed.equals(origin);
  }

  private HttpRequest.Builder request(URI uri, String... headers) {
    HttpRequest.Builder builder =
        HttpRequest.newBuilder(uri).timeout(timeout).header("Origin", origin);
    for (int i = 0; i < headers.length; i += 2) {
      builder.header(headers[i], headers[i + 1]);
    }
    return builder;
  }

  private Answer send(HttpRequest.Builder request, int mostBytes)
      throws IOException, InterruptedException {
    long end = System.nanoTime() + timeout.toNanos();
    HttpResponse<InputStream> response =
        http.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
    // The request's own timeout ends with the headers: a body that stalls ends by being closed.
    InputStream body = response.body();
    CompletableFuture<Void> closing =
        CompletableFuture.runAsync(
            () -> close(body),
            CompletableFuture.delayedExecutor(end - System.nanoTime(), TimeUnit.NANOSECONDS));
    try {
      return new Answer(response.statusCode(), response, body.readNBytes(mostBytes));
    } catch (IOException failed) {
      if (System.nanoTime() - end < 0) {
        throw failed;
      }
      throw new HttpTimeoutException(
          "an answer began and did not end within %d s; --timeout-seconds allows more"
              .formatted(timeout.toSeconds()));
    } finally {
      closing.cancel(false);
      close(body);
    }
  }

  private static void close(InputStream body) {
    try {
      body.close();
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }
}
