package io.splitcompute.api;

import io.micronaut.context.annotation.Bean;
import io.micronaut.context.annotation.Factory;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.S3Store;
import io.splitcompute.weights.store.WeightStore;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3ClientBuilder;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/** The store of weights that the settings name, and the S3 clients for it. */
@Factory
final class StoreFactory {

  @Singleton
  WeightStore weightStore(StoreSettings settings, S3Client s3) throws IOException {
    Optional<Path> folder = settings.folder();
    if (folder.isPresent()) {
      return new FolderStore(folder.get());
    }
    Path cache = settings.cacheFolder();
    return new S3Store(
        s3, settings.bucket(), cache != null ? cache : Files.createTempDirectory("splitcompute-"));
  }

  @Singleton
  @Bean(preDestroy = "close")
  S3Client s3Client(StoreSettings settings, AwsCredentialsProvider credentials) {
    S3ClientBuilder builder =
        S3Client.builder()
            .credentialsProvider(credentials)
            .region(Region.of(settings.region()))
            .forcePathStyle(settings.pathStyle())
            .httpClientBuilder(UrlConnectionHttpClient.builder());
    if (settings.s3Endpoint() != null) {
      builder.endpointOverride(settings.s3Endpoint());
    }
    return builder.build();
  }

  @Singleton
  @Bean(preDestroy = "close")
  S3Presigner s3Presigner(StoreSettings settings, AwsCredentialsProvider credentials) {
    S3Presigner.Builder builder =
        S3Presigner.builder()
            .credentialsProvider(credentials)
            .region(Region.of(settings.region()))
            .serviceConfiguration(
                S3Configuration.builder().pathStyleAccessEnabled(settings.pathStyle()).build());
    if (settings.s3Endpoint() != null) {
      builder.endpointOverride(settings.s3Endpoint());
    }
    return builder.build();
  }

  @Singleton
  AwsCredentialsProvider credentials() {
    return DefaultCredentialsProvider.builder().build();
  }
}
