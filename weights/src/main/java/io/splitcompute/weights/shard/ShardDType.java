package io.splitcompute.weights.shard;

import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.checkpoint.SourceTensor.Role;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The variants that a unit is stored in: which tensors a checkpoint's tensor becomes. */
public enum ShardDType {
  /** Everything in F32, nothing padded. */
  F32 {
    @Override
    List<Source> encode(SourceTensor tensor) {
      return List.of(FloatTensor.source(tensor, DType.F32, tensor.columns()));
    }
  },
  /** Linear weights and tables in F16, the rows of linear weights padded to 32 columns. */
  F16 {
    @Override
    List<Source> encode(SourceTensor tensor) {
      return List.of(
          switch (tensor.role()) {
            case VECTOR -> FloatTensor.source(tensor, DType.F32, tensor.columns());
            case TABLE -> FloatTensor.source(tensor, DType.F16, tensor.columns());
            case LINEAR ->
                FloatTensor.source(
                    tensor, DType.F16, QuantizedTensor.blocks(tensor) * BlockQuantization.BLOCK);
          });
    }
  },
  /** Linear weights in blocks of 32 with eight bits a column and an f16 scale. */
  Q8 {
    @Override
    List<Source> encode(SourceTensor tensor) {
      return tensor.role() == Role.LINEAR
          ? QuantizedTensor.q8(tensor).sources()
          : F16.encode(tensor);
    }
  },
  /** Linear weights in blocks of 32 with four bits a column and an f16 scale. */
  Q4 {
    @Override
    List<Source> encode(SourceTensor tensor) {
      return tensor.role() == Role.LINEAR
          ? QuantizedTensor.q4(tensor).sources()
          : F16.encode(tensor);
    }
  };

  /** The tensors that stand for one of the checkpoint's. */
  abstract List<Source> encode(SourceTensor tensor);

  /** What a unit is stored as: where there is nothing to quantise, it is F16. */
  ShardDType storing(SourceUnit unit) {
    boolean linear = unit.tensors().stream().anyMatch(tensor -> tensor.role() == Role.LINEAR);
    return this == F32 || linear ? this : F16;
  }

  /** The name in manifests and on command lines. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The variant of a name. */
  public static Optional<ShardDType> named(String word) {
    return Arrays.stream(values()).filter(dtype -> dtype.word().equals(word)).findFirst();
  }
}
