package io.splitcompute.infra;

import software.amazon.awscdk.App;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.Tags;

/**
 * The CDK application. The context value {@code siteOrigin} names the origin whose pages may read
 * shards, {@code https://example.org} say.
 */
public final class SplitComputeApp {
  private SplitComputeApp() {}

  public static void main(String[] arguments) {
    App app = new App();
    Object siteOrigin = app.getNode().tryGetContext("siteOrigin");
    if (!(siteOrigin instanceof String origin) || !origin.startsWith("https://")) {
      System.err.println(
          "splitcompute: name the site's origin: cdk deploy --context siteOrigin=https://...");
      System.exit(2);
      return;
    }
    new StorageStack(app, "SplitComputeStorage", StackProps.builder().build(), origin);
    Tags.of(app).add("project", "splitcompute");
    app.synth();
  }
}
