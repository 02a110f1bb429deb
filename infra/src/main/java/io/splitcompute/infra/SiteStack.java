package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import software.amazon.awscdk.CfnOutput;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.cloudfront.BehaviorOptions;
import software.amazon.awscdk.services.cloudfront.CachePolicy;
import software.amazon.awscdk.services.cloudfront.Distribution;
import software.amazon.awscdk.services.cloudfront.HeadersFrameOption;
import software.amazon.awscdk.services.cloudfront.HeadersReferrerPolicy;
import software.amazon.awscdk.services.cloudfront.HttpVersion;
import software.amazon.awscdk.services.cloudfront.IOrigin;
import software.amazon.awscdk.services.cloudfront.PriceClass;
import software.amazon.awscdk.services.cloudfront.ResponseCustomHeader;
import software.amazon.awscdk.services.cloudfront.ResponseCustomHeadersBehavior;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersContentSecurityPolicy;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersContentTypeOptions;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersCorsBehavior;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersFrameOptions;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersPolicy;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersReferrerPolicy;
import software.amazon.awscdk.services.cloudfront.ResponseHeadersStrictTransportSecurity;
import software.amazon.awscdk.services.cloudfront.ResponseSecurityHeadersBehavior;
import software.amazon.awscdk.services.cloudfront.ViewerProtocolPolicy;
import software.amazon.awscdk.services.cloudfront.origins.S3BucketOrigin;
import software.amazon.awscdk.services.s3.BlockPublicAccess;
import software.amazon.awscdk.services.s3.Bucket;
import software.amazon.awscdk.services.s3.BucketEncryption;
import software.amazon.awscdk.services.s3.ObjectOwnership;
import software.amazon.awscdk.services.s3.deployment.BucketDeployment;
import software.amazon.awscdk.services.s3.deployment.CacheControl;
import software.amazon.awscdk.services.s3.deployment.ISource;
import software.amazon.awscdk.services.s3.deployment.Source;
import software.constructs.Construct;

/**
 * The page and the SDK's modules behind CloudFront, from a bucket that only it can read. One build
 * serves every stage: which API it talks to stands in {@code config.json}, written here.
 */
public final class SiteStack extends Stack {

  private static final String SITE_FOLDER = "web/site/dist";
  private static final String SDK_FOLDER = "web/sdk/dist";
  // The module, and beside it what it imports when it is wanted: the tokenizer, the worker.
  private static final String SDK_MODULES = "*.js";
  // CDK's function unpacks in memory; the default fails on large sites and is slow on small ones.
  private static final int DEPLOYMENT_MEGABYTES = 512;

  private final Distribution distribution;

  public SiteStack(
      Construct scope,
      String id,
      StackProps props,
      Settings settings,
      StorageStack storage,
      ApiStack api) {
    super(scope, id, props);
    Bucket bucket =
        Bucket.Builder.create(this, "Files")
            .blockPublicAccess(BlockPublicAccess.BLOCK_ALL)
            .objectOwnership(ObjectOwnership.BUCKET_OWNER_ENFORCED)
            .encryption(BucketEncryption.S3_MANAGED)
            .enforceSsl(true)
            .removalPolicy(RemovalPolicy.DESTROY)
            .autoDeleteObjects(true)
            .build();
    Suppressions.on(
        bucket, "AwsSolutions-S1", "Only CloudFront reads these files, which are public anyway");
    IOrigin files = S3BucketOrigin.withOriginAccessControl(bucket);
    distribution =
        Distribution.Builder.create(this, "Distribution")
            .comment("SplitCompute's site and SDK")
            .defaultRootObject("index.html")
            .httpVersion(HttpVersion.HTTP2_AND_3)
            .priceClass(PriceClass.PRICE_CLASS_100)
            .defaultBehavior(behavior(files, pageHeaders(storage, api)))
            .additionalBehaviors(Map.of("sdk/*", behavior(files, moduleHeaders())))
            .build();
    deploy(settings, bucket, api);
    suppress();
    CfnOutput.Builder.create(this, "Origin").value(origin()).build();
  }

  /** Where the site is, as {@code https://d111111abcdef8.cloudfront.net}. */
  String origin() {
    return "https://" + distribution.getDistributionDomainName();
  }

  Distribution distribution() {
    return distribution;
  }

  private static BehaviorOptions behavior(IOrigin origin, ResponseHeadersPolicy headers) {
    return BehaviorOptions.builder()
        .origin(origin)
        .viewerProtocolPolicy(ViewerProtocolPolicy.REDIRECT_TO_HTTPS)
        .cachePolicy(CachePolicy.CACHING_OPTIMIZED)
        .compress(true)
        .responseHeadersPolicy(headers)
        .build();
  }

  private ResponseHeadersPolicy pageHeaders(StorageStack storage, ApiStack api) {
    return headers("PageHeaders", contentSecurity(storage, api), "same-origin").build();
  }

  /** Pages of any origin may import the module. */
  private ResponseHeadersPolicy moduleHeaders() {
    return headers("ModuleHeaders", "default-src 'none'", "cross-origin")
        .corsBehavior(
            ResponseHeadersCorsBehavior.builder()
                .accessControlAllowOrigins(List.of("*"))
                .accessControlAllowMethods(List.of("GET", "HEAD"))
                .accessControlAllowHeaders(List.of("*"))
                .accessControlAllowCredentials(false)
                .originOverride(true)
                .build())
        .build();
  }

  /**
   * What the page may load and whom it may talk to: its own files, its API, the two buckets. The
   * SDK's worker starts from a blob, and the icon is data.
   */
  private static String contentSecurity(StorageStack storage, ApiStack api) {
    String connect =
        "connect-src 'self' %s https://%s https://%s"
            .formatted(
                api.api().getApiEndpoint(),
                storage.weights().getBucketRegionalDomainName(),
                storage.activations().getBucketRegionalDomainName());
    return String.join(
        "; ",
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "worker-src 'self' blob:",
        connect,
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'");
  }

  private ResponseHeadersPolicy.Builder headers(
      String id, String contentSecurity, String resourcePolicy) {
    return ResponseHeadersPolicy.Builder.create(this, id)
        .securityHeadersBehavior(
            ResponseSecurityHeadersBehavior.builder()
                .contentSecurityPolicy(
                    ResponseHeadersContentSecurityPolicy.builder()
                        .contentSecurityPolicy(contentSecurity)
                        .override(true)
                        .build())
                .contentTypeOptions(
                    ResponseHeadersContentTypeOptions.builder().override(true).build())
                .frameOptions(
                    ResponseHeadersFrameOptions.builder()
                        .frameOption(HeadersFrameOption.DENY)
                        .override(true)
                        .build())
                .referrerPolicy(
                    ResponseHeadersReferrerPolicy.builder()
                        .referrerPolicy(HeadersReferrerPolicy.NO_REFERRER)
                        .override(true)
                        .build())
                .strictTransportSecurity(
                    ResponseHeadersStrictTransportSecurity.builder()
                        .accessControlMaxAge(Duration.days(365))
                        .includeSubdomains(true)
                        .override(true)
                        .build())
                .build())
        .customHeadersBehavior(
            ResponseCustomHeadersBehavior.builder()
                .customHeaders(
                    List.of(
                        header("Cross-Origin-Opener-Policy", "same-origin"),
                        header("Cross-Origin-Embedder-Policy", "require-corp"),
                        header("Cross-Origin-Resource-Policy", resourcePolicy),
                        header(
                            "Permissions-Policy",
                            "camera=(), geolocation=(), microphone=(), payment=(), usb=()")))
                .build());
  }

  private static ResponseCustomHeader header(String name, String value) {
    return ResponseCustomHeader.builder().header(name).value(value).override(true).build();
  }

  private void deploy(Settings settings, Bucket bucket, ApiStack api) {
    String site = settings.project().resolve(SITE_FOLDER).toString();
    // Old assets stay: a page that is open still finds those that it names.
    put(
        "Assets",
        bucket,
        List.of(Source.asset(site)),
        List.of("*"),
        List.of("assets/*"),
        "public, max-age=31536000, immutable");
    put(
        "Pages",
        bucket,
        List.of(
            Source.asset(site),
            Source.jsonData(
                "config.json",
                Map.of(
                    "endpoint", api.api().getApiEndpoint(),
                    "region", getRegion(),
                    "model", settings.model()))),
        List.of("assets/*"),
        List.of(),
        "no-cache");
    BucketDeployment.Builder.create(this, "Module")
        .destinationBucket(bucket)
        .destinationKeyPrefix("sdk")
        .sources(List.of(Source.asset(settings.project().resolve(SDK_FOLDER).toString())))
        .exclude(List.of("*"))
        .include(List.of(SDK_MODULES))
        .prune(false)
        .memoryLimit(DEPLOYMENT_MEGABYTES)
        .cacheControl(List.of(CacheControl.fromString("no-cache")))
        .distribution(distribution)
        .distributionPaths(List.of("/sdk/*"))
        .build();
  }

  private void put(
      String id,
      Bucket bucket,
      List<ISource> sources,
      List<String> excluded,
      List<String> included,
      String cacheControl) {
    BucketDeployment.Builder.create(this, id)
        .destinationBucket(bucket)
        .sources(sources)
        .exclude(excluded)
        .include(included)
        .prune(false)
        .memoryLimit(DEPLOYMENT_MEGABYTES)
        .cacheControl(List.of(CacheControl.fromString(cacheControl)))
        .distribution(distribution)
        .distributionPaths(List.of("/*"))
        .build();
  }

  private void suppress() {
    Suppressions.on(
        distribution, "AwsSolutions-CFR1", "The site is for everybody, wherever they are");
    Suppressions.on(
        distribution, "AwsSolutions-CFR2", "Static files have nothing that a firewall could guard");
    Suppressions.on(
        distribution, "AwsSolutions-CFR3", "Static files that are public; the API logs requests");
    Suppressions.on(
        distribution,
        "AwsSolutions-CFR4",
        "CloudFront's own certificate sets its own lowest TLS; a domain of one's own ends that");
    Suppressions.onCdksFunctions(this);
  }
}
