package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import software.amazon.awscdk.CfnOutput;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.iam.AnyPrincipal;
import software.amazon.awscdk.services.iam.Effect;
import software.amazon.awscdk.services.iam.IGrantable;
import software.amazon.awscdk.services.iam.PolicyStatement;
import software.amazon.awscdk.services.s3.BlockPublicAccess;
import software.amazon.awscdk.services.s3.Bucket;
import software.amazon.awscdk.services.s3.BucketEncryption;
import software.amazon.awscdk.services.s3.BucketMetrics;
import software.amazon.awscdk.services.s3.CorsRule;
import software.amazon.awscdk.services.s3.HttpMethods;
import software.amazon.awscdk.services.s3.LifecycleRule;
import software.amazon.awscdk.services.s3.ObjectOwnership;
import software.constructs.Construct;

/**
 * What outlives every other stack: the weights, and the activations that are too large for a
 * response. Both buckets are private and speak TLS only; browsers read them by presigned URL.
 */
public final class StorageStack extends Stack {

  /** How long a presigned URL opens an object, whatever its signer wrote into it. */
  static final Duration URL_LIFE = Duration.minutes(5);

  /** Names the metrics of a whole bucket, bytes that were downloaded among them. */
  static final String METRICS = "EntireBucket";

  private static final int CORS_SECONDS = 3600;

  private final Bucket weights;
  private final Bucket activations;

  public StorageStack(Construct scope, String id, StackProps props, Settings settings) {
    super(scope, id, props);
    List<CorsRule> cors = settings.siteOrigin().stream().map(StorageStack::readByTheSite).toList();
    weights =
        privateBucket("Weights", cors)
            .versioned(true)
            .removalPolicy(RemovalPolicy.RETAIN)
            .lifecycleRules(
                List.of(
                    LifecycleRule.builder()
                        .abortIncompleteMultipartUploadAfter(Duration.days(1))
                        .noncurrentVersionExpiration(Duration.days(30))
                        .build()))
            .build();
    // A text can be recovered from its activations: never versioned, and gone within a day.
    activations =
        privateBucket("Activations", cors)
            .versioned(false)
            .removalPolicy(RemovalPolicy.DESTROY)
            .autoDeleteObjects(true)
            .lifecycleRules(
                List.of(
                    LifecycleRule.builder()
                        .expiration(Duration.days(1))
                        .abortIncompleteMultipartUploadAfter(Duration.days(1))
                        .build()))
            .build();
    for (Bucket bucket : List.of(weights, activations)) {
      refuseOldSignatures(bucket);
      Suppressions.on(
          bucket,
          "AwsSolutions-S1",
          "Server access logs would keep presigned URLs with their signatures");
    }
    Suppressions.onCdksFunctions(this);
    CfnOutput.Builder.create(this, "WeightsBucket").value(weights.getBucketName()).build();
    CfnOutput.Builder.create(this, "ActivationsBucket").value(activations.getBucketName()).build();
  }

  Bucket weights() {
    return weights;
  }

  Bucket activations() {
    return activations;
  }

  /** Lets a function list models and read manifests and shards, and nothing else. */
  void letReadWeights(IGrantable reader) {
    reader
        .getGrantPrincipal()
        .addToPrincipalPolicy(
            PolicyStatement.Builder.create()
                .actions(List.of("s3:GetObject"))
                .resources(
                    List.of(weights.arnForObjects("models/*"), weights.arnForObjects("shards/*")))
                .build());
    reader
        .getGrantPrincipal()
        .addToPrincipalPolicy(
            PolicyStatement.Builder.create()
                .actions(List.of("s3:ListBucket"))
                .resources(List.of(weights.getBucketArn()))
                .conditions(Map.of("StringEquals", Map.of("s3:prefix", "models/")))
                .build());
  }

  /** Lets the head hand over activations. */
  void letExchangeActivations(IGrantable head) {
    head.getGrantPrincipal()
        .addToPrincipalPolicy(
            PolicyStatement.Builder.create()
                .actions(List.of("s3:PutObject", "s3:GetObject"))
                .resources(List.of(activations.arnForObjects("activations/*")))
                .build());
  }

  private static CorsRule readByTheSite(String origin) {
    return CorsRule.builder()
        .allowedOrigins(List.of(origin))
        .allowedMethods(List.of(HttpMethods.GET, HttpMethods.HEAD))
        .allowedHeaders(List.of("Range", "Content-Type"))
        .exposedHeaders(List.of("Content-Range", "ETag", "Retry-After"))
        .maxAge(CORS_SECONDS)
        .build();
  }

  private static void refuseOldSignatures(Bucket bucket) {
    bucket.addToResourcePolicy(
        PolicyStatement.Builder.create()
            .sid("RefuseOldSignatures")
            .effect(Effect.DENY)
            .principals(List.of(new AnyPrincipal()))
            .actions(List.of("s3:GetObject"))
            .resources(List.of(bucket.arnForObjects("*")))
            .conditions(
                Map.of(
                    "NumericGreaterThan",
                    Map.of("s3:signatureAge", URL_LIFE.toMilliseconds().longValue())))
            .build());
  }

  private Bucket.Builder privateBucket(String id, List<CorsRule> cors) {
    return Bucket.Builder.create(this, id)
        .blockPublicAccess(BlockPublicAccess.BLOCK_ALL)
        .objectOwnership(ObjectOwnership.BUCKET_OWNER_ENFORCED)
        .encryption(BucketEncryption.S3_MANAGED)
        .enforceSsl(true)
        .metrics(List.of(BucketMetrics.builder().id(METRICS).build()))
        .cors(cors);
  }
}
