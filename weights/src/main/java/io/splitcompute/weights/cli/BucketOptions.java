package io.splitcompute.weights.cli;

import java.io.IOException;
import java.net.URI;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.regions.providers.AwsProfileRegionProvider;
import software.amazon.awssdk.regions.providers.AwsRegionProviderChain;
import software.amazon.awssdk.regions.providers.DefaultAwsRegionProviderChain;
import software.amazon.awssdk.regions.providers.SystemSettingsRegionProvider;
import software.amazon.awssdk.services.s3.S3Client;

/** Which bucket, and where. Credentials come from AWS's usual places. */
final class BucketOptions {

  @Option(names = "--bucket", required = true, paramLabel = "NAME", description = "The bucket.")
  private String bucket;

  @Option(
      names = "--endpoint",
      paramLabel = "URL",
      description = "Another S3 than Amazon's, as http://127.0.0.1:9000.")
  private @Nullable URI endpoint;

  @Option(
      names = "--region",
      paramLabel = "REGION",
      description = "The bucket's region (default: as the AWS tools are configured).")
  private @Nullable String region;

  @Option(
      names = "--path-style",
      description = "Put the bucket's name into the path, as most S3 other than Amazon's need it.")
  private boolean pathStyle;

  String name() {
    return bucket;
  }

  /**
   * @throws IOException if there are no credentials or the region is unknown
   */
  S3Client open() throws IOException {
    if (endpoint != null && (endpoint.getScheme() == null || endpoint.getHost() == null)) {
      throw new IOException("--endpoint needs scheme and host, as http://127.0.0.1:9000");
    }
    return S3Client.builder()
        .httpClientBuilder(UrlConnectionHttpClient.builder())
        .credentialsProvider(credentials())
        .region(region())
        .endpointOverride(endpoint)
        .forcePathStyle(pathStyle)
        // Where it matters the request has the SHA-256; the SDK's own is not known to every S3.
        .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
        .build();
  }

  private static AwsCredentialsProvider credentials() throws IOException {
    AwsCredentialsProvider credentials = DefaultCredentialsProvider.builder().build();
    try {
      credentials.resolveCredentials();
      return credentials;
    } catch (SdkClientException none) {
      throw new IOException(
          "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
              + " AWS_PROFILE",
          none);
    }
  }

  private Region region() throws IOException {
    if (region != null) {
      return Region.of(region);
    }
    // Elsewhere than at Amazon the region is a formality, not worth asking the network for.
    AwsRegionProviderChain known =
        endpoint == null
            ? new DefaultAwsRegionProviderChain()
            : new AwsRegionProviderChain(
                new SystemSettingsRegionProvider(), new AwsProfileRegionProvider());
    try {
      return known.getRegion();
    } catch (SdkClientException none) {
      if (endpoint != null) {
        return Region.US_EAST_1;
      }
      throw new IOException("the bucket's region is not known: give --region", none);
    }
  }
}
