package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;

/** Objects that other tools upload in parts read as any other; a broken upload leaves nothing. */
@ExtendWith(CloudS3.Extension.class)
final class MultipartTest {

  private static final String KEY = "shards/abc.safetensors";
  // The least that S3 takes for all parts but the last.
  private static final int PART = 5 << 20;

  private final CloudS3 s3;
  private final byte[] content = new byte[PART + 1000];
  private String bucket;
  private String upload;

  MultipartTest(CloudS3 s3) {
    this.s3 = s3;
    new Random(1).nextBytes(content);
  }

  @BeforeEach
  void begin() {
    bucket = s3.bucket();
    upload = s3.client().createMultipartUpload(r -> r.bucket(bucket).key(KEY)).uploadId();
  }

  @Test
  void shouldServeARangeAcrossParts() throws Exception {
    CompletedPart first = part(1, Arrays.copyOf(content, PART));
    CompletedPart last = part(2, Arrays.copyOfRange(content, PART, content.length));
    s3.client()
        .completeMultipartUpload(
            r ->
                r.bucket(bucket)
                    .key(KEY)
                    .uploadId(upload)
                    .multipartUpload(m -> m.parts(first, last)));

    HttpResponse<byte[]> response =
        s3.send(
            "GET",
            s3.presigned(bucket, KEY, Duration.ofMinutes(1)),
            "Range",
            "bytes=%d-%d".formatted(PART - 10, PART + 9));

    assertEquals(206, response.statusCode());
    assertArrayEquals(Arrays.copyOfRange(content, PART - 10, PART + 10), response.body());
  }

  @Test
  void shouldLeaveNothingOfAnUploadThatIsGivenUp() {
    part(1, Arrays.copyOf(content, PART));
    s3.client().abortMultipartUpload(r -> r.bucket(bucket).key(KEY).uploadId(upload));

    assertThrows(
        NoSuchKeyException.class, () -> s3.client().headObject(r -> r.bucket(bucket).key(KEY)));
    assertEquals(0, s3.client().listMultipartUploads(r -> r.bucket(bucket)).uploads().size());
  }

  private CompletedPart part(int number, byte[] bytes) {
    String tag =
        s3.client()
            .uploadPart(
                r -> r.bucket(bucket).key(KEY).uploadId(upload).partNumber(number),
                RequestBody.fromBytes(bytes))
            .eTag();
    return CompletedPart.builder().partNumber(number).eTag(tag).build();
  }
}
