package io.splitcompute.infra;

import java.util.List;
import java.util.Optional;
import software.amazon.awscdk.IgnoreMode;
import software.amazon.awscdk.services.ecr.IRepository;
import software.amazon.awscdk.services.ecr.Repository;
import software.amazon.awscdk.services.ecr.assets.Platform;
import software.amazon.awscdk.services.ecs.AssetImageProps;
import software.amazon.awscdk.services.ecs.ContainerImage;
import software.amazon.awscdk.services.ecs.EcrImage;
import software.amazon.awscdk.services.lambda.AssetImageCodeProps;
import software.amazon.awscdk.services.lambda.DockerImageCode;
import software.amazon.awscdk.services.lambda.EcrImageCodeProps;
import software.constructs.Construct;

/**
 * The head's image: built by the deployment from the checkout, or one that is in the account's
 * registry. Synthesis needs no Docker either way.
 */
enum HeadImage {
  CPU("Dockerfile.cpu"),
  GPU("Dockerfile.gpu");

  private static final String FOLDER = "functions/head/image/";

  /** Of the checkout, what the Dockerfiles copy, as a .dockerignore says it. */
  private static final List<String> ALL_BUT =
      List.of(
          "*",
          "!functions/head/image",
          "!functions/head/target/lib",
          "!functions/head/target/head-*.jar",
          "!weights/target/splitcompute-weights.jar",
          "!functions/local/src/main/resources/models/bookworm");

  private final String dockerfile;

  HeadImage(String dockerfile) {
    this.dockerfile = FOLDER + dockerfile;
  }

  /** As a Lambda function's code. */
  DockerImageCode lambda(Construct scope, Settings settings) {
    return named(settings)
        .map(
            image ->
                DockerImageCode.fromEcr(
                    repository(scope, image),
                    EcrImageCodeProps.builder().tagOrDigest(tag(image)).build()))
        .orElseGet(
            () ->
                DockerImageCode.fromImageAsset(
                    folder(settings),
                    AssetImageCodeProps.builder()
                        .file(dockerfile)
                        .platform(Platform.LINUX_AMD64)
                        .ignoreMode(IgnoreMode.DOCKER)
                        .exclude(ALL_BUT)
                        .build()));
  }

  /** As a container's image. */
  ContainerImage container(Construct scope, Settings settings) {
    return named(settings)
        .map(
            image ->
                (ContainerImage) EcrImage.fromEcrRepository(repository(scope, image), tag(image)))
        .orElseGet(
            () ->
                ContainerImage.fromAsset(
                    folder(settings),
                    AssetImageProps.builder()
                        .file(dockerfile)
                        .platform(Platform.LINUX_AMD64)
                        .ignoreMode(IgnoreMode.DOCKER)
                        .exclude(ALL_BUT)
                        .build()));
  }

  private Optional<String> named(Settings settings) {
    return this == CPU ? settings.headImage() : settings.gpuImage();
  }

  private static String folder(Settings settings) {
    return settings.project().toString();
  }

  private static IRepository repository(Construct scope, String image) {
    return Repository.fromRepositoryName(
        scope, "HeadRepository", image.substring(0, image.lastIndexOf(':')));
  }

  private static String tag(String image) {
    return image.substring(image.lastIndexOf(':') + 1);
  }
}
