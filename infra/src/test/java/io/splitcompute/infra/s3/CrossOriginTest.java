package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Locale;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import software.amazon.awssdk.core.sync.RequestBody;

/**
 * The site's pages read shards, pages of another origin do not: a URL that leaks is then of no use
 * to a script that runs in somebody else's browser.
 */
@ExtendWith(CloudS3.Extension.class)
final class CrossOriginTest {

  private static final String KEY = "shards/abc.safetensors";
  private static final String FOREIGN = "https://other.example";

  private final CloudS3 s3;
  private URI url;

  CrossOriginTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @BeforeEach
  void put() {
    String bucket = s3.bucket();
    s3.client().putObject(r -> r.bucket(bucket).key(KEY), RequestBody.fromString("0123456789"));
    url = s3.presigned(bucket, KEY, Duration.ofMinutes(1));
  }

  @Test
  void shouldAnswerThePreflightOfTheSite() throws Exception {
    HttpResponse<byte[]> response = preflight(CloudS3.ORIGIN, "range");

    assertEquals(200, response.statusCode());
    assertEquals(CloudS3.ORIGIN, allowed(response));
    assertTrue(
        header(response, "Access-Control-Allow-Headers")
            .toLowerCase(Locale.ROOT)
            .contains("range"));
  }

  @Test
  void shouldLetTheSiteReadRanges() throws Exception {
    HttpResponse<byte[]> response =
        s3.send("GET", url, "Origin", CloudS3.ORIGIN, "Range", "bytes=2-4");

    assertEquals(206, response.statusCode());
    assertEquals(CloudS3.ORIGIN, allowed(response));
    assertTrue(header(response, "Access-Control-Expose-Headers").contains("Content-Range"));
  }

  @Test
  void shouldNotAllowPagesOfAnotherOrigin() throws Exception {
    HttpResponse<byte[]> preflight = preflight(FOREIGN, "range");
    assertEquals(403, preflight.statusCode());

    String allowed = allowed(s3.send("GET", url, "Origin", FOREIGN));
    assertNotEquals(FOREIGN, allowed);
    assertNotEquals("*", allowed);
  }

  private HttpResponse<byte[]> preflight(String origin, String headers) throws Exception {
    return s3.send(
        "OPTIONS",
        url,
        "Origin",
        origin,
        "Access-Control-Request-Method",
        "GET",
        "Access-Control-Request-Headers",
        headers);
  }

  private static String allowed(HttpResponse<?> response) {
    return header(response, "Access-Control-Allow-Origin");
  }

  private static String header(HttpResponse<?> response, String name) {
    return String.join(",", response.headers().allValues(name));
  }
}
