package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import software.amazon.awssdk.core.sync.RequestBody;

/**
 * A presigned URL lies in browsers' histories, proxies' logs and pasted messages. Whoever finds one
 * must be able to read that one object until it expires, and to do nothing else: not to write, not
 * to delete, not to read another key, not to ask for another answer, not to make it live longer.
 */
@ExtendWith(CloudS3.Extension.class)
final class MisusedUrlTest {

  private static final String KEY = "shards/abc.safetensors";
  private static final String OTHER = "shards/def.safetensors";

  private final CloudS3 s3;
  private String bucket;
  private URI url;

  MisusedUrlTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @BeforeEach
  void put() throws Exception {
    bucket = s3.bucket();
    for (String key : new String[] {KEY, OTHER}) {
      s3.client().putObject(r -> r.bucket(bucket).key(key), RequestBody.fromString(key));
    }
    url = s3.presigned(bucket, KEY, Duration.ofMinutes(5));
    assertEquals(200, s3.send("GET", url).statusCode());
  }

  @Test
  void shouldNotWriteOrDelete() throws Exception {
    for (String method : new String[] {"PUT", "DELETE", "POST"}) {
      assertEquals(403, s3.send(method, url).statusCode(), method);
    }
    assertEquals(KEY, s3.client().getObjectAsBytes(r -> r.bucket(bucket).key(KEY)).asUtf8String());
  }

  @Test
  void shouldNotReadAnotherKey() throws Exception {
    assertRefused(url.toString().replace(KEY, OTHER));
  }

  @Test
  void shouldNotReadAnotherBucket() throws Exception {
    String other = s3.bucket();
    s3.client().putObject(r -> r.bucket(other).key(KEY), RequestBody.fromString("other"));

    assertRefused(url.toString().replace(bucket, other));
  }

  @Test
  void shouldNotAskForAnotherAnswer() throws Exception {
    assertRefused(url + "&response-content-type=text%2Fhtml");
  }

  @Test
  void shouldNotLiveLonger() throws Exception {
    assertRefused(url.toString().replace("X-Amz-Expires=300", "X-Amz-Expires=604800"));
  }

  @Test
  void shouldNotPassForAnotherSigner() throws Exception {
    String signer = URLEncoder.encode(CloudS3.ACCESS_KEY + "/", StandardCharsets.UTF_8);

    assertRefused(url.toString().replace("Credential=" + signer, "Credential=nobody%2F"));
  }

  @Test
  void shouldNotBeOpenedByAnotherSignature() throws Exception {
    String text = url.toString();
    int at = text.indexOf("X-Amz-Signature=") + "X-Amz-Signature=".length();
    char other = text.charAt(at) == '0' ? '1' : '0';

    assertRefused(text.substring(0, at) + other + text.substring(at + 1));
  }

  @Test
  void shouldNotBeOpenedWithoutASignature() throws Exception {
    assumeFalse(s3.localStack(), "LocalStack lets in who signs nothing; it enforces no policies");

    assertRefused(url.toString().replaceFirst("\\?.*", ""));
  }

  private void assertRefused(String other) throws Exception {
    assertEquals(403, s3.send("GET", URI.create(other)).statusCode(), other);
  }
}
