package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import software.amazon.awscdk.assertions.Match;
import software.amazon.awscdk.assertions.Template;

/** What the storage stack promises, read off the template that it synthesises. */
final class StorageStackTest {

  private static final String BUCKET = "AWS::S3::Bucket";

  private static Template template;

  @BeforeAll
  static void synthesise() {
    template = Synthesised.with(HeadHost.LAMBDA).template("Storage");
  }

  @Test
  void shouldKeepEveryBucketPrivate() {
    template.allResourcesProperties(
        BUCKET,
        Match.objectLike(
            Map.of(
                "PublicAccessBlockConfiguration",
                Map.of(
                    "BlockPublicAcls", true,
                    "BlockPublicPolicy", true,
                    "IgnorePublicAcls", true,
                    "RestrictPublicBuckets", true))));
  }

  @Test
  void shouldRefuseRequestsWithoutTls() {
    template.allResourcesProperties(
        "AWS::S3::BucketPolicy",
        Match.objectLike(
            Map.of(
                "PolicyDocument",
                Map.of(
                    "Statement",
                    Match.arrayWith(
                        List.of(
                            Match.objectLike(
                                Map.of(
                                    "Effect",
                                    "Deny",
                                    "Condition",
                                    Map.of("Bool", Map.of("aws:SecureTransport", "false"))))))))));
  }

  @Test
  void shouldLetTheSiteReadAndNoOtherOrigin() {
    template.allResourcesProperties(
        BUCKET,
        Match.objectLike(
            Map.of(
                "CorsConfiguration",
                Map.of(
                    "CorsRules",
                    List.of(
                        Match.objectLike(
                            Map.of(
                                "AllowedMethods", List.of("GET", "HEAD"),
                                "AllowedOrigins", List.of("https://site.example"))))))));
  }

  @Test
  void shouldExpireActivationsWithinADayAndNeverVersionThem() {
    template.hasResource(
        BUCKET,
        Match.objectLike(
            Map.of(
                "DeletionPolicy",
                "Delete",
                "Properties",
                Match.objectLike(
                    Map.of(
                        "VersioningConfiguration",
                        Match.absent(),
                        "LifecycleConfiguration",
                        Map.of(
                            "Rules", List.of(Match.objectLike(Map.of("ExpirationInDays", 1)))))))));
  }

  @Test
  void shouldVersionWeightsAndOutliveTheStack() {
    template.hasResource(
        BUCKET,
        Match.objectLike(
            Map.of(
                "DeletionPolicy",
                "Retain",
                "Properties",
                Match.objectLike(Map.of("VersioningConfiguration", Map.of("Status", "Enabled"))))));
  }
}
