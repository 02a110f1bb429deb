package io.splitcompute.weights.cli;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import software.amazon.awssdk.services.s3.S3Client;

/** {@code publish}: from a folder to a bucket. */
@Command(
    name = "publish",
    description =
        "Send models to a bucket: what is there already is not sent again, and readers see a model"
            + " once it is whole.")
final class PublishCommand implements Callable<Integer> {

  @Spec
  @SuppressWarnings("NullAway.Init") // picocli sets it
  private CommandSpec spec;

  @Parameters(paramLabel = "FOLDER", description = "A folder that was sharded into.")
  private Path folder;

  @Mixin private final BucketOptions bucket = new BucketOptions();
  @Mixin private final AskedModels models = new AskedModels();

  @Override
  public Integer call() throws IOException {
    FolderStore store = new FolderStore(folder);
    Termination termination = Termination.interruptsThis();
    try (S3Client s3 = bucket.open()) {
      Publisher publisher = new Publisher(s3, bucket.name());
      for (ModelName model : models.in(store, folder)) {
        String revision;
        try (Bar bar = Bar.ofBytes("Publishing " + model)) {
          revision = publisher.publish(store, model, bar::at);
        }
        spec.commandLine()
            .getOut()
            .println(model + ": published to " + bucket.name() + ", revision " + revision);
      }
    } finally {
      termination.close();
    }
    return 0;
  }
}
