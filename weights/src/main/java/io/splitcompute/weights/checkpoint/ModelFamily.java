package io.splitcompute.weights.checkpoint;

import java.io.IOException;
import java.util.List;

/** Maps checkpoints of one family to units. A new family is one class, named in {@link #ALL}. */
public sealed interface ModelFamily permits Bert, Gpt2 {

  /** The families that are known. */
  List<ModelFamily> ALL = List.of(new Bert(), new Gpt2());

  /** The checkpoint's {@code model_type}. */
  String modelType();

  /**
   * @throws InvalidCheckpointException if config and tensors are not such a model's, or ask for
   *     something that is not supported
   */
  ModelSource read(Checkpoint checkpoint) throws IOException;

  /**
   * The family of a checkpoint.
   *
   * @throws InvalidCheckpointException if none is known
   */
  static ModelFamily of(Checkpoint checkpoint) throws InvalidCheckpointException {
    String type = checkpoint.config().path("model_type").asText();
    return ALL.stream()
        .filter(family -> family.modelType().equals(type))
        .findFirst()
        .orElseThrow(
            () ->
                new InvalidCheckpointException(
                    checkpoint.folder()
                        + ": config.json has the model_type '"
                        + type
                        + "'; known are "
                        + ALL.stream().map(ModelFamily::modelType).toList()));
  }
}
