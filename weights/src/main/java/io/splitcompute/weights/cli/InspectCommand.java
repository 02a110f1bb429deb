package io.splitcompute.weights.cli;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.ModelCheckpoint;
import io.splitcompute.weights.checkpoint.ModelSource;
import io.splitcompute.weights.store.PublishedManifest;
import io.splitcompute.weights.store.StoredObjects;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExitCode;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code inspect}: what models consist of, in a store or in a checkpoint. */
@Command(
    name = "inspect",
    description =
        "Show the units, bytes and dtypes of a store's models, or of a checkpoint before it is sharded.")
final class InspectCommand implements Callable<Integer> {

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @ArgGroup(multiplicity = "1")
  private SourceOptions source = new SourceOptions();

  @Mixin private final AskedModels models = new AskedModels();

  @Option(names = "--json", description = "Print JSON, for programs.")
  private boolean json;

  @Override
  public Integer call() throws IOException {
    Optional<Path> checkpoint = source.checkpoint();
    return checkpoint.isPresent() ? inspect(checkpoint.get()) : source.use(this::inspect);
  }

  private int inspect(Path path) throws IOException {
    ModelSource model = ModelCheckpoint.open(path).model();
    print(json ? CheckpointText.json(model) : CheckpointText.table(path, model));
    return ExitCode.OK;
  }

  private int inspect(WeightStore store, StoredObjects objects) throws IOException {
    List<PublishedManifest> manifests = new ArrayList<>();
    for (ModelName model : models.in(store, source)) {
      manifests.add(
          store
              .manifest(model)
              .orElseThrow(() -> new IOException(source + " has no model " + model)));
    }
    print(json ? ModelJson.of(manifests) : ModelTable.of(manifests));
    return ExitCode.OK;
  }

  private void print(String text) {
    PrintWriter out = spec.commandLine().getOut();
    out.print(text);
    out.flush();
  }
}
