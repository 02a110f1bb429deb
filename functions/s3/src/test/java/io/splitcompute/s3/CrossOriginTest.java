package io.splitcompute.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Pages live on another origin than S3: without these headers a browser hides every answer. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CrossOriginTest {

  private RunningS3 s3;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    System.setProperty("jdk.httpclient.allowRestrictedHeaders", "origin");
    s3 = new RunningS3(folder);
    s3.put(new byte[] {1, 2, 3});
  }

  @AfterAll
  void stop() throws Exception {
    s3.close();
  }

  @Test
  void shouldAnswerThePreflightOfARangeRequest() throws Exception {
    var response = preflight(RunningS3.ORIGIN, "range,content-type");

    assertEquals(200, response.statusCode());
    assertEquals(Optional.of(RunningS3.ORIGIN), allowedOrigin(response));
    assertTrue(header(response, "Access-Control-Allow-Methods").contains("GET"));
    assertTrue(
        header(response, "Access-Control-Allow-Headers")
            .toLowerCase(Locale.ROOT)
            .contains("range"));
  }

  @Test
  void shouldRefuseThePreflightOfAnotherOrigin() throws Exception {
    assertEquals(403, preflight("http://siteXexample:8080", "range").statusCode());
  }

  @Test
  void shouldExposeWhatADownloadNeeds() throws Exception {
    var response = get(s3.presign(Duration.ofMinutes(1)));

    assertEquals(200, response.statusCode());
    assertEquals(Optional.of(RunningS3.ORIGIN), allowedOrigin(response));
    String exposed = header(response, "Access-Control-Expose-Headers");
    for (String name :
        List.of("Content-Range", "ETag", "Accept-Ranges", "Content-Length", "Retry-After")) {
      assertTrue(exposed.contains(name), exposed);
    }
  }

  @Test
  void shouldLetThePageReadAnError() throws Exception {
    String url = s3.presign(Duration.ofMinutes(1)).toString();

    var response = get(URI.create(url.replace("Expires=60", "Expires=61")));

    assertEquals(403, response.statusCode());
    assertEquals(Optional.of(RunningS3.ORIGIN), allowedOrigin(response));
  }

  private HttpResponse<byte[]> preflight(String origin, String headers) throws Exception {
    return s3.send(
        "OPTIONS",
        s3.presign(Duration.ofMinutes(1)),
        "Origin",
        origin,
        "Access-Control-Request-Method",
        "GET",
        "Access-Control-Request-Headers",
        headers);
  }

  private HttpResponse<byte[]> get(URI url) throws Exception {
    return s3.send("GET", url, "Origin", RunningS3.ORIGIN);
  }

  private static Optional<String> allowedOrigin(HttpResponse<byte[]> response) {
    return response.headers().firstValue("Access-Control-Allow-Origin");
  }

  private static String header(HttpResponse<byte[]> response, String name) {
    return response.headers().firstValue(name).orElse("");
  }
}
