package io.splitcompute.infra;

import java.util.Map;
import java.util.TreeMap;

/** What the functions are told about where they run, as environment variables of Micronaut. */
final class FunctionEnvironment {
  private FunctionEnvironment() {}

  static Map<String, String> catalog(StorageStack storage) {
    return new TreeMap<>(
        Map.of(
            "SPLITCOMPUTE_WEIGHTS",
            "s3:" + storage.weights().getBucketName(),
            "SPLITCOMPUTE_REGION",
            storage.getRegion(),
            "SPLITCOMPUTE_SHARD_URL_SECONDS",
            Long.toString(StorageStack.URL_LIFE.toSeconds().longValue()),
            // The gateway answers preflights and writes the headers, for the site's origin alone.
            "MICRONAUT_SERVER_CORS_ENABLED",
            "false",
            // The presigner names S3's regional host also in us-east-1: the site's policy names it.
            "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
            "regional"));
  }

  static Map<String, String> head(StorageStack storage) {
    Map<String, String> environment = catalog(storage);
    environment.put("SPLITCOMPUTE_ACTIVATIONS_BUCKET", storage.activations().getBucketName());
    // Below the one folder that can be written, on Lambda and in the containers.
    environment.put("SPLITCOMPUTE_CACHE_FOLDER", "/tmp/splitcompute");
    return environment;
  }
}
