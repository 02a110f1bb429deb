package io.splitcompute.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.services.s3.S3Client;

class EmbeddedS3Test {

  @TempDir Path folder;

  @Test
  void shouldKeepItsObjectsInTheFolder() throws Exception {
    try (RunningS3 first = new RunningS3(folder)) {
      first.put(new byte[] {7});
    }

    assertArrayEquals(
        new byte[] {7},
        Files.readAllBytes(folder.resolve(RunningS3.BUCKET).resolve(RunningS3.KEY)));
    try (RunningS3 second = new RunningS3(folder);
        S3Client client = second.client()) {
      assertEquals(
          1,
          client
              .getObjectAsBytes(r -> r.bucket(RunningS3.BUCKET).key(RunningS3.KEY))
              .asByteArray()
              .length);
    }
  }

  @Test
  void shouldStopAtOnceThoughConnectionsAreKeptAlive() throws Exception {
    RunningS3 running = new RunningS3(folder);
    running.put(new byte[] {7});
    assertEquals(200, running.send("GET", running.presign(Duration.ofMinutes(1))).statusCode());

    assertTimeout(Duration.ofSeconds(1), running::close);
  }

  @Test
  void shouldSayThatAPortIsTaken() throws Exception {
    try (RunningS3 running = new RunningS3(folder)) {
      int taken = running.s3.endpoint().getPort();

      IOException e =
          assertThrows(IOException.class, () -> EmbeddedS3.start(RunningS3.options(folder, taken)));

      assertTrue(e.toString().contains("port " + taken), e.toString());
    }
  }

  @Test
  void shouldRefuseABucketNameThatLeavesTheFolder() {
    assertThrows(
        IllegalArgumentException.class,
        () ->
            new EmbeddedS3.Options(
                folder, "127.0.0.1", 0, "id", "secret", List.of("../x"), List.of()));
  }

  @Test
  void shouldKeepTheSecretOutOfItsDescription() {
    assertTrue(!RunningS3.options(folder, 0).toString().contains("a-secret"));
  }
}
