package io.splitcompute.weights.checkpoint;

import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Finds a checkpoint's tensors by the names that the hub's checkpoints have, and remembers which
 * were used: one that was not could be of another model.
 */
final class NamedTensors {

  private static final Set<DType> FLOATS = EnumSet.of(DType.F32, DType.F16, DType.BF16);

  private final Checkpoint checkpoint;
  private final Map<String, Tensor> tensors;
  private final String prefix;
  private final Set<String> used = new HashSet<>();

  /**
   * @param prefix that the names have if {@code known} has it
   * @param known a tensor that every such checkpoint has
   */
  NamedTensors(Checkpoint checkpoint, String prefix, String known) {
    this.checkpoint = checkpoint;
    this.tensors = checkpoint.tensors();
    this.prefix = tensors.containsKey(prefix + known) ? prefix : "";
  }

  /** The name in this checkpoint. */
  String full(String tensor) {
    return prefix + tensor;
  }

  boolean has(String tensor) {
    return tensors.containsKey(full(tensor));
  }

  SourceTensor matrix(String name, Role role, String tensor, int rows, int columns)
      throws InvalidCheckpointException {
    return SourceTensor.matrix(name, role, rows, columns, find(full(tensor), rows, columns));
  }

  /** A linear map that is stored {@code [in, out]}. */
  SourceTensor conv1d(String name, String tensor, int out, int in)
      throws InvalidCheckpointException {
    return SourceTensor.transposed(name, out, in, find(full(tensor), in, out));
  }

  SourceTensor vector(String name, String tensor, int size) throws InvalidCheckpointException {
    return SourceTensor.vector(name, size, find(full(tensor), size));
  }

  /** Square linear maps, one below the other. */
  SourceTensor joinedMatrices(String name, int size, List<String> parts)
      throws InvalidCheckpointException {
    List<Tensor> found = new ArrayList<>();
    for (String part : parts) {
      found.add(find(full(part), size, size));
    }
    return SourceTensor.joinedMatrix(name, parts.size() * size, size, found);
  }

  /** Vectors, one behind the other. */
  SourceTensor joinedVectors(String name, int size, List<String> parts)
      throws InvalidCheckpointException {
    List<Tensor> found = new ArrayList<>();
    for (String part : parts) {
      found.add(find(full(part), size));
    }
    return SourceTensor.joinedVector(name, parts.size() * size, found);
  }

  /**
   * @throws InvalidCheckpointException if there is no such tensor, or one of another shape or dtype
   */
  Tensor find(String name, long... shape) throws InvalidCheckpointException {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new InvalidCheckpointException(checkpoint.folder() + " lacks the tensor " + name);
    }
    if (!Arrays.equals(tensor.shape(), shape)) {
      throw new InvalidCheckpointException(
          "%s: tensor %s has the shape %s where config.json asks for %s"
              .formatted(
                  checkpoint.folder(),
                  name,
                  Arrays.toString(tensor.shape()),
                  Arrays.toString(shape)));
    }
    if (!FLOATS.contains(tensor.dtype())) {
      throw new InvalidCheckpointException(
          "%s: tensor %s is %s; known are %s"
              .formatted(checkpoint.folder(), name, tensor.dtype(), FLOATS));
    }
    used.add(name);
    return tensor;
  }

  /**
   * @param family for the message
   * @param irrelevant which full names do not matter
   * @throws InvalidCheckpointException if a tensor was not used
   */
  void requireAllUsed(String family, Predicate<String> irrelevant)
      throws InvalidCheckpointException {
    for (String name : tensors.keySet()) {
      if (!used.contains(name) && !irrelevant.test(name)) {
        throw new InvalidCheckpointException(
            "%s has the tensor %s, which %s does not have"
                .formatted(checkpoint.folder(), name, family));
      }
    }
  }
}
