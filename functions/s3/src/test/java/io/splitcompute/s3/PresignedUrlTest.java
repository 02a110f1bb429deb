package io.splitcompute.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * A presigned URL is the browser's only right: it must open one object, for reading, for a time.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PresignedUrlTest {

  private static final byte[] CONTENT = {1, 2, 3, 4, 5};

  private RunningS3 s3;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    s3 = new RunningS3(folder);
    s3.put(CONTENT);
  }

  @AfterAll
  void stop() throws Exception {
    s3.close();
  }

  @Test
  void shouldServeTheObject() throws Exception {
    var response = s3.send("GET", s3.presign(Duration.ofMinutes(1)));

    assertEquals(200, response.statusCode());
    assertArrayEquals(CONTENT, response.body());
  }

  @Test
  void shouldRefuseAnExpiredUrl() throws Exception {
    URI url = s3.presign(Duration.ofSeconds(1));
    Thread.sleep(2_100);

    assertEquals(403, s3.send("GET", url).statusCode());
  }

  @Test
  void shouldRefuseATamperedSignature() throws Exception {
    String url = s3.presign(Duration.ofMinutes(1)).toString();
    char last = url.charAt(url.length() - 1);
    String tampered = url.substring(0, url.length() - 1) + (last == '0' ? '1' : '0');

    assertEquals(403, s3.send("GET", URI.create(tampered)).statusCode());
  }

  @Test
  void shouldRefuseAnotherKey() throws Exception {
    String url = s3.presign(Duration.ofMinutes(1)).toString().replace("abc", "abd");

    assertEquals(403, s3.send("GET", URI.create(url)).statusCode());
  }

  @Test
  void shouldRefuseALongerLife() throws Exception {
    String url =
        s3.presign(Duration.ofSeconds(60)).toString().replace("Expires=60", "Expires=6000");

    assertEquals(403, s3.send("GET", URI.create(url)).statusCode());
  }

  @Test
  void shouldRefuseAnotherVerb() throws Exception {
    assertEquals(403, s3.send("PUT", s3.presign(Duration.ofMinutes(1))).statusCode());
    assertEquals(403, s3.send("DELETE", s3.presign(Duration.ofMinutes(1))).statusCode());
  }

  @Test
  void shouldRefuseAnUnsignedRequest() throws Exception {
    String url = s3.presign(Duration.ofMinutes(1)).toString();

    assertEquals(403, s3.send("GET", URI.create(url.substring(0, url.indexOf('?')))).statusCode());
  }

  @Test
  void shouldNotListABucketToAnybody() throws Exception {
    String url = s3.presign(Duration.ofMinutes(1)).toString();
    URI bucket = URI.create(url.substring(0, url.indexOf("/shards/")));

    assertEquals(403, s3.send("GET", bucket).statusCode());
    assertEquals(403, s3.send("HEAD", bucket).statusCode());
  }
}
