package io.splitcompute.doctor;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpTimeoutException;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.List;
import java.util.Map;

/** A model's shards as a page gets them: signed by the API, read from the store. */
final class ShardDownload {

  private static final JsonMapper JSON = new JsonMapper();

  private final Web web;
  private final URI signing;

  /**
   * @param endpoint of the API, with a slash at its end
   */
  ShardDownload(Web web, URI endpoint, Manifest manifest) {
    this.web = web;
    this.signing = endpoint.resolve("v1/models/" + manifest.model() + "/shards");
  }

  /**
   * @param url opens the shard
   * @param expires when that ends
   */
  record Signed(URI url, Instant expires) {}

  /**
   * @throws IOException if the API signs nothing
   */
  Signed sign(Manifest.Shard shard) throws IOException, InterruptedException {
    Web.Answer answer =
        web.post(signing, JSON.writeValueAsString(Map.of("shards", List.of(shard.sha256()))));
    if (answer.status() != 200) {
      throw new IOException("a shard's URL was asked for and answered " + answer.status());
    }
    JsonNode signed = answer.json().path("urls").path(0);
    try {
      return new Signed(
          URI.create(signed.path("url").asText()), Instant.parse(signed.path("expires").asText()));
    } catch (IllegalArgumentException | DateTimeParseException malformed) {
      throw new IOException("a shard's URL was asked for, and the answer has none", malformed);
    }
  }

  /** Most bytes of a shard that can be held: a third of the heap, and less than 2 GiB. */
  static int mostBytes() {
    // While a shard is read it is in memory twice, in pieces and as a whole.
    return (int) Math.min(Integer.MAX_VALUE - 16, Runtime.getRuntime().maxMemory() / 3);
  }

  /** What there is to say of a shard of more than {@link #mostBytes}: no fault of its own. */
  static Finding tooLarge(String check, long bytes) {
    return Finding.hint(
        check,
        "not read, for a shard is %.0f MB, and the heap holds %.0f"
            .formatted(bytes / 1e6, mostBytes() / 1e6),
        "start it with a larger heap (java -Xmx), which takes shards of up to 2 GiB");
  }

  /**
   * Reads a whole shard.
   *
   * @param shard of at most {@link #mostBytes}
   * @throws HttpTimeoutException if it does not come in time
   * @throws IOException if it is not what the manifest says
   */
  byte[] fetch(Manifest.Shard shard) throws IOException, InterruptedException {
    // One more, so that a longer one is seen to be another.
    Web.Answer answer = web.get(sign(shard).url(), Math.toIntExact(shard.bytes() + 1));
    if (answer.status() != 200 || !Sha256.of(answer.body()).equals(shard.sha256())) {
      throw new IOException(
          "the shard %s is not what the manifest says: status %d, %d bytes read where it has %d"
              .formatted(shard.sha256(), answer.status(), answer.body().length, shard.bytes()));
    }
    return answer.body();
  }
}
