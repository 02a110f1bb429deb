package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.model.ExpirationStatus;
import software.amazon.awssdk.services.s3.model.LifecycleRule;

/** S3 takes the storage stack's lifecycle rules and says of activations that they go in a day. */
@ExtendWith(CloudS3.Extension.class)
final class LifecycleTest {

  private final CloudS3 s3;

  LifecycleTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @Test
  void shouldExpireActivationsWithinADay() {
    assumeTrue(s3.localStack(), "s3proxy knows no lifecycles");
    String bucket = s3.bucket();
    List<LifecycleRule> rules = rules("Activations");
    s3.client()
        .putBucketLifecycleConfiguration(
            r -> r.bucket(bucket).lifecycleConfiguration(c -> c.rules(rules)));

    List<LifecycleRule> kept =
        s3.client().getBucketLifecycleConfiguration(r -> r.bucket(bucket)).rules();
    assertEquals(1, kept.get(0).expiration().days());
    assertEquals(1, kept.get(0).abortIncompleteMultipartUpload().daysAfterInitiation());

    String key = "activations/abc.safetensors";
    s3.client().putObject(r -> r.bucket(bucket).key(key), RequestBody.fromString("abc"));
    String expiration = s3.client().headObject(r -> r.bucket(bucket).key(key)).expiration();
    assertTrue(expiration.contains("expiry-date"), expiration);
  }

  @Test
  void shouldTakeTheRulesOfWeights() {
    assumeTrue(s3.localStack(), "s3proxy knows no lifecycles");
    String bucket = s3.bucket();
    List<LifecycleRule> rules = rules("Weights");
    s3.client()
        .putBucketLifecycleConfiguration(
            r -> r.bucket(bucket).lifecycleConfiguration(c -> c.rules(rules)));

    LifecycleRule kept =
        s3.client().getBucketLifecycleConfiguration(r -> r.bucket(bucket)).rules().get(0);
    assertEquals(null, kept.expiration());
    assertEquals(1, kept.abortIncompleteMultipartUpload().daysAfterInitiation());
  }

  /** A bucket's rules in the template, in the words of S3's own interface. */
  private static List<LifecycleRule> rules(String bucket) {
    List<LifecycleRule> rules = new ArrayList<>();
    for (JsonNode rule :
        StorageTemplate.bucket(bucket).path("LifecycleConfiguration").path("Rules")) {
      LifecycleRule.Builder builder =
          LifecycleRule.builder()
              .id("rule-" + rules.size())
              .status(ExpirationStatus.fromValue(rule.path("Status").asText()))
              .filter(filter -> filter.prefix(""))
              .abortIncompleteMultipartUpload(
                  abort ->
                      abort.daysAfterInitiation(
                          rule.path("AbortIncompleteMultipartUpload")
                              .path("DaysAfterInitiation")
                              .asInt()));
      if (rule.has("ExpirationInDays")) {
        builder.expiration(expiration -> expiration.days(rule.path("ExpirationInDays").asInt()));
      }
      rules.add(builder.build());
    }
    return rules;
  }
}
