package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.splitcompute.weights.store.Publisher;
import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Browsers fetch a published shard whole, or go on at a byte, until their URL expires. */
@ExtendWith(CloudS3.Extension.class)
final class PresignedRangeTest {

  private final CloudS3 s3;
  private SmallModel model;
  private String bucket;

  PresignedRangeTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @BeforeEach
  void publish(@TempDir Path temporary) throws Exception {
    model = SmallModel.in(temporary);
    bucket = s3.bucket();
    new Publisher(s3.client(), bucket).publish(model.store(), SmallModel.NAME, (d, all) -> {});
  }

  @Test
  void shouldServeTheWholeShard() throws Exception {
    HttpResponse<byte[]> response = s3.send("GET", url());

    assertEquals(200, response.statusCode());
    assertArrayEquals(model.bytes(), response.body());
    assertEquals(
        "public, max-age=31536000, immutable",
        response.headers().firstValue("Cache-Control").orElseThrow());
  }

  @Test
  void shouldServeARange() throws Exception {
    HttpResponse<byte[]> response = s3.send("GET", url(), "Range", "bytes=256-511");

    assertEquals(206, response.statusCode());
    assertEquals(
        "bytes 256-511/" + model.shard().bytes(),
        response.headers().firstValue("Content-Range").orElseThrow());
    assertArrayEquals(Arrays.copyOfRange(model.bytes(), 256, 512), response.body());
  }

  @Test
  void shouldServeTheRestFromAByteOn() throws Exception {
    HttpResponse<byte[]> response = s3.send("GET", url(), "Range", "bytes=1000-");

    assertEquals(206, response.statusCode());
    byte[] all = model.bytes();
    assertArrayEquals(Arrays.copyOfRange(all, 1000, all.length), response.body());
  }

  @Test
  void shouldRefuseARangeBeyondTheEnd() throws Exception {
    String range = "bytes=%d-".formatted(model.shard().bytes());

    assertEquals(416, s3.send("GET", url(), "Range", range).statusCode());
  }

  @Test
  void shouldRefuseAnExpiredUrl() throws Exception {
    URI url = s3.presigned(bucket, model.key(), Duration.ofSeconds(1));
    Thread.sleep(2_100);

    assertEquals(403, s3.send("GET", url).statusCode());
  }

  private URI url() {
    return s3.presigned(bucket, model.key(), Duration.ofMinutes(1));
  }
}
