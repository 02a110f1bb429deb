package io.splitcompute.weights.canary;

import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor;

/** A unit's weights as the checkpoint has them, which is what the variant {@code f32} stores. */
record CheckpointWeights(SourceUnit unit) implements UnitWeights {

  @Override
  public Matrix matrix(String name) {
    SourceTensor tensor =
        unit.tensors().stream()
            .filter(candidate -> candidate.name().equals(name))
            .findFirst()
            .orElseThrow(() -> new IllegalArgumentException(unit.name() + " has no " + name));
    return new Matrix() {
      @Override
      public int rows() {
        return tensor.rows();
      }

      @Override
      public int columns() {
        return tensor.columns();
      }

      @Override
      public void read(int first, float[] into) {
        tensor.read(first, into);
      }
    };
  }
}
