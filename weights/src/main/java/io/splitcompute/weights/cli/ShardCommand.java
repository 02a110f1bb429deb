package io.splitcompute.weights.cli;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.checkpoint.ModelCheckpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code shard}: a checkpoint to a folder with a bucket's layout. */
@Command(name = "shard", description = "Make shards and a manifest of a checkpoint.")
final class ShardCommand implements Callable<Integer> {

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @Option(
      names = "--dtype",
      split = ",",
      paramLabel = "DTYPE",
      converter = DTypes.class,
      completionCandidates = DTypes.class,
      description = "Variants to make, of ${COMPLETION-CANDIDATES} (default: all).")
  private final List<ShardDType> dtypes = new ArrayList<>();

  @Option(
      names = "--name",
      paramLabel = "NAME",
      converter = ModelNames.class,
      description = "Name of the model (default: the folder's, or the jar's model).")
  private @Nullable ModelName name;

  @Parameters(
      paramLabel = "FOLDER|JAR",
      description = {
        "Checkpoint in Hugging Face layout: config.json and model.safetensors;",
        "or a jar dev.langchain4j:langchain4j-embeddings-* with an ONNX file."
      })
  private Path source;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "FOLDER",
      description = "Where the shards go; several models may share it.")
  private Path out;

  @Override
  public Integer call() throws IOException {
    List<ShardDType> asked = dtypes.isEmpty() ? List.of(ShardDType.values()) : dtypes;
    if (new HashSet<>(asked).size() != asked.size()) {
      throw new ParameterException(spec.commandLine(), "--dtype names one twice");
    }
    ModelName model = name != null ? name : nameOf(source);
    Manifest manifest;
    try (Bar bar = Bar.ofSteps("Sharding")) {
      manifest =
          new Sharder(new FolderStore(out))
              .shard(ModelCheckpoint.open(source), model, asked, bar::at);
    }
    spec.commandLine().getOut().println(Summary.of(manifest, Sha256.of(manifest.bytes())));
    return 0;
  }

  private ModelName nameOf(Path checkpoint) throws IOException {
    String name = ModelCheckpoint.nameOf(checkpoint);
    try {
      return new ModelName(name);
    } catch (IllegalArgumentException invalid) {
      throw new ParameterException(
          spec.commandLine(),
          "the folder's name '%s' is no model name (%s): give one by --name"
              .formatted(name, invalid.getMessage()),
          invalid);
    }
  }
}
