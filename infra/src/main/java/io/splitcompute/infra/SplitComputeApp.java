package io.splitcompute.infra;

import java.nio.file.Path;
import software.amazon.awscdk.App;

/** The CDK application. {@link Settings} tells which context values it reads. */
public final class SplitComputeApp {

  private static final int USAGE = 2;

  private SplitComputeApp() {}

  public static void main(String[] arguments) {
    App app = new App();
    Settings settings;
    try {
      settings = Settings.of(app.getNode()::tryGetContext, Path.of(".."));
    } catch (IllegalArgumentException notValid) {
      System.err.println("splitcompute: " + notValid.getMessage());
      System.exit(USAGE);
      return;
    }
    Stacks.in(app, settings);
    app.synth();
  }
}
