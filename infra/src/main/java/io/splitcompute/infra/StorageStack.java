package io.splitcompute.infra;

import java.util.List;
import software.amazon.awscdk.CfnOutput;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.s3.BlockPublicAccess;
import software.amazon.awscdk.services.s3.Bucket;
import software.amazon.awscdk.services.s3.BucketEncryption;
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

  private static final int CORS_SECONDS = 3600;

  public StorageStack(Construct scope, String id, StackProps props, String siteOrigin) {
    super(scope, id, props);
    CorsRule readByTheSite =
        CorsRule.builder()
            .allowedOrigins(List.of(siteOrigin))
            .allowedMethods(List.of(HttpMethods.GET, HttpMethods.HEAD))
            .allowedHeaders(List.of("Range", "Content-Type"))
            .exposedHeaders(List.of("Content-Range", "ETag"))
            .maxAge(CORS_SECONDS)
            .build();
    Bucket weights =
        privateBucket("Weights", readByTheSite)
            .versioned(true)
            .removalPolicy(RemovalPolicy.RETAIN)
            .lifecycleRules(
                List.of(
                    LifecycleRule.builder()
                        .abortIncompleteMultipartUploadAfter(Duration.days(1))
                        .build()))
            .build();
    // A text can be recovered from its activations: never versioned, and gone within a day.
    Bucket activations =
        privateBucket("Activations", readByTheSite)
            .versioned(false)
            .removalPolicy(RemovalPolicy.DESTROY)
            .lifecycleRules(
                List.of(
                    LifecycleRule.builder()
                        .expiration(Duration.days(1))
                        .abortIncompleteMultipartUploadAfter(Duration.days(1))
                        .build()))
            .build();
    CfnOutput.Builder.create(this, "WeightsBucket").value(weights.getBucketName()).build();
    CfnOutput.Builder.create(this, "ActivationsBucket").value(activations.getBucketName()).build();
  }

  private Bucket.Builder privateBucket(String id, CorsRule cors) {
    return Bucket.Builder.create(this, id)
        .blockPublicAccess(BlockPublicAccess.BLOCK_ALL)
        .objectOwnership(ObjectOwnership.BUCKET_OWNER_ENFORCED)
        .encryption(BucketEncryption.S3_MANAGED)
        .enforceSsl(true)
        .cors(List.of(cors));
  }
}
