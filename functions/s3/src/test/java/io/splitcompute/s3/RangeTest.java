package io.splitcompute.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Downloads resume at a part, so ranges must be exact. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class RangeTest {

  private RunningS3 s3;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    s3 = new RunningS3(folder);
    s3.put(new byte[] {10, 11, 12, 13, 14, 15, 16, 17});
  }

  @AfterAll
  void stop() throws Exception {
    s3.close();
  }

  @Test
  void shouldServeAMiddleRange() throws Exception {
    var response = s3.send("GET", s3.presign(Duration.ofMinutes(1)), "Range", "bytes=2-4");

    assertEquals(206, response.statusCode());
    assertArrayEquals(new byte[] {12, 13, 14}, response.body());
    assertEquals(Optional.of("bytes 2-4/8"), response.headers().firstValue("Content-Range"));
  }

  @Test
  void shouldServeFromAnOffsetToTheEnd() throws Exception {
    var response = s3.send("GET", s3.presign(Duration.ofMinutes(1)), "Range", "bytes=6-");

    assertEquals(206, response.statusCode());
    assertArrayEquals(new byte[] {16, 17}, response.body());
  }

  @Test
  void shouldRefuseARangeBeyondTheEnd() throws Exception {
    var response = s3.send("GET", s3.presign(Duration.ofMinutes(1)), "Range", "bytes=8-9");

    assertEquals(416, response.statusCode());
  }
}
