package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.splitcompute.weights.store.Publisher;
import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.retries.api.BackoffStrategy;
import software.amazon.awssdk.services.cloudformation.CloudFormationClient;
import software.amazon.awssdk.services.cloudformation.model.Capability;
import software.amazon.awssdk.services.cloudformation.model.Output;
import software.amazon.awssdk.services.cloudformation.waiters.CloudFormationWaiter;
import software.amazon.awssdk.services.s3.model.BucketVersioningStatus;
import software.amazon.awssdk.services.s3.model.CORSRule;

/**
 * CloudFormation deploys the storage stack, a model is served from it, and the weights outlive it.
 */
@ExtendWith(CloudS3.Extension.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class StorageDeploymentTest {

  private final CloudS3 s3;
  private final String stack = "storage-" + UUID.randomUUID();
  private final Map<String, String> outputs = new HashMap<>();
  private @Nullable CloudFormationClient cloudFormation;

  StorageDeploymentTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @BeforeAll
  void deploy() {
    assumeTrue(s3.localStack(), "s3proxy has no CloudFormation");
    CloudFormationClient client =
        CloudFormationClient.builder()
            .endpointOverride(s3.endpoint())
            .region(CloudS3.REGION)
            .credentialsProvider(
                StaticCredentialsProvider.create(
                    AwsBasicCredentials.create(CloudS3.ACCESS_KEY, CloudS3.SECRET_KEY)))
            .httpClient(UrlConnectionHttpClient.create())
            .build();
    cloudFormation = client;
    client.createStack(
        r ->
            r.stackName(stack)
                .templateBody(StorageTemplate.deployable())
                .capabilities(Capability.CAPABILITY_IAM));
    try (CloudFormationWaiter waiter =
        CloudFormationWaiter.builder()
            .client(client)
            .overrideConfiguration(
                c ->
                    c.backoffStrategyV2(BackoffStrategy.fixedDelay(Duration.ofSeconds(1)))
                        .maxAttempts(120))
            .build()) {
      waiter.waitUntilStackCreateComplete(r -> r.stackName(stack));
    }
    for (Output output : client.describeStacks(r -> r.stackName(stack)).stacks().get(0).outputs()) {
      outputs.put(output.outputKey(), output.outputValue());
    }
  }

  @AfterAll
  void close() {
    if (cloudFormation != null) {
      cloudFormation.close();
    }
  }

  @Test
  void shouldVersionWeightsAndNotActivations() {
    assertEquals(
        BucketVersioningStatus.ENABLED,
        s3.client().getBucketVersioning(r -> r.bucket(weights())).status());
    assertEquals(null, s3.client().getBucketVersioning(r -> r.bucket(activations())).status());
  }

  @Test
  void shouldKeepBothBucketsPrivateAndEncrypted() {
    for (String bucket : List.of(weights(), activations())) {
      var access =
          s3.client().getPublicAccessBlock(r -> r.bucket(bucket)).publicAccessBlockConfiguration();
      assertTrue(access.blockPublicAcls() && access.restrictPublicBuckets(), bucket);
      assertEquals(
          "AES256",
          s3.client()
              .getBucketEncryption(r -> r.bucket(bucket))
              .serverSideEncryptionConfiguration()
              .rules()
              .get(0)
              .applyServerSideEncryptionByDefault()
              .sseAlgorithmAsString());
    }
  }

  @Test
  void shouldRefuseOldSignaturesAndPlainHttpByPolicy() {
    for (String bucket : List.of(weights(), activations())) {
      String policy = s3.client().getBucketPolicy(r -> r.bucket(bucket)).policy();
      assertTrue(policy.contains("\"s3:signatureAge\""), policy);
      assertTrue(policy.contains("300000"), policy);
      assertTrue(policy.contains("\"aws:SecureTransport\""), policy);
    }
  }

  @Test
  void shouldLetTheSiteRead() throws Exception {
    CORSRule rule = s3.client().getBucketCors(r -> r.bucket(weights())).corsRules().get(0);
    assertEquals(List.of(CloudS3.ORIGIN), rule.allowedOrigins());
    assertEquals(List.of("GET", "HEAD"), rule.allowedMethods());
  }

  @Test
  void shouldServeAPublishedModel(@TempDir Path temporary) throws Exception {
    SmallModel model = SmallModel.in(temporary);
    new Publisher(s3.client(), weights()).publish(model.store(), SmallModel.NAME, (d, all) -> {});
    URI url = s3.presigned(weights(), model.key(), Duration.ofMinutes(5));

    HttpResponse<byte[]> response =
        s3.send("GET", url, "Origin", CloudS3.ORIGIN, "Range", "bytes=0-9");

    assertEquals(206, response.statusCode());
    assertEquals(
        CloudS3.ORIGIN, response.headers().firstValue("Access-Control-Allow-Origin").orElseThrow());
  }

  private String weights() {
    return Objects.requireNonNull(outputs.get("WeightsBucket"));
  }

  private String activations() {
    return Objects.requireNonNull(outputs.get("ActivationsBucket"));
  }
}
