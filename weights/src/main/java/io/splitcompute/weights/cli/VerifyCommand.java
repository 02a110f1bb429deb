package io.splitcompute.weights.cli;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.StoredObjects;
import io.splitcompute.weights.store.Verifier;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code verify}: is everything there, and is it what the manifest says? */
@Command(
    name = "verify",
    description = "Read all objects of the models again and compare them with their manifests.")
final class VerifyCommand implements Callable<Integer> {

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @ArgGroup(multiplicity = "1")
  private SourceOptions source = new SourceOptions();

  @Mixin private final AskedModels models = new AskedModels();

  @Override
  public Integer call() throws IOException {
    return source.use(this::verify);
  }

  private int verify(WeightStore store, StoredObjects objects) throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    Verifier verifier = new Verifier(objects);
    int exitCode = ExitCode.OK;
    for (ModelName model : models.in(store, source)) {
      List<Verifier.Finding> findings;
      try (Bar bar = Bar.ofBytes("Verifying " + model)) {
        findings = verifier.verify(model, bar::at);
      }
      if (findings.isEmpty()) {
        out.println(model + ": all objects are as the manifest says");
        continue;
      }
      findings.forEach(finding -> out.println(model + ": " + finding));
      spec.commandLine()
          .getErr()
          .println(
              "%s: %d %s of %s in %s must be deleted, and the model sharded or published again"
                  .formatted(
                      WeightsCommand.NAME,
                      findings.size(),
                      findings.size() == 1 ? "object" : "objects",
                      model,
                      source));
      exitCode = ExitCode.SOFTWARE;
    }
    return exitCode;
  }
}
