package io.splitcompute.weights.cli;

import java.util.Optional;
import picocli.CommandLine.IVersionProvider;

/** The version that the build wrote into the jar. */
final class JarVersion implements IVersionProvider {

  @Override
  public String[] getVersion() {
    String version =
        Optional.ofNullable(JarVersion.class.getPackage().getImplementationVersion())
            .orElse("(not from a jar)");
    return new String[] {WeightsCommand.NAME + " " + version};
  }
}
