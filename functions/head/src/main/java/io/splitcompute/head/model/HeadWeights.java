package io.splitcompute.head.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.splitcompute.head.program.Programs;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * A model's weights in f32, in the order in which its programs take them.
 *
 * @param embeddings token and position tables
 * @param layers the tensors of each layer, the attention's scale first
 * @param finalNorm the final LayerNorm
 */
record HeadWeights(List<NDArray> embeddings, List<List<NDArray>> layers, List<NDArray> finalNorm) {

  private static final String F32 = "f32";
  private static final String F16 = "f16";

  /**
   * Loads what a head can need: all units but {@code lm_head}. The variant {@code f32} is used
   * where the model has it, since it is exact, else {@code f16}.
   *
   * @throws IOException if a shard cannot be read or is not what the manifest says
   */
  static HeadWeights load(Manifest manifest, WeightStore store, NDManager manager)
      throws IOException {
    String dtype = manifest.dtypes().contains(F32) ? F32 : F16;
    List<List<NDArray>> layers = new ArrayList<>();
    for (int i = 0; i < manifest.layers(); i++) {
      List<NDArray> layer = new ArrayList<>();
      layer.add(manager.create(manifest.layer().attention().scales().get(i).doubleValue()));
      layer.addAll(unit(manifest, "layer." + i, dtype, Programs.LAYER_TENSORS, store, manager));
      layers.add(List.copyOf(layer));
    }
    return new HeadWeights(
        unit(manifest, "embeddings", dtype, Programs.EMBEDDINGS_TENSORS, store, manager),
        List.copyOf(layers),
        unit(manifest, "final", dtype, Programs.FINAL_TENSORS, store, manager));
  }

  private static List<NDArray> unit(
      Manifest manifest,
      String unit,
      String dtype,
      List<String> names,
      WeightStore store,
      NDManager manager)
      throws IOException {
    SafetensorsFile file = SafetensorsFile.open(store.fetch(manifest.unit(unit).variant(dtype)));
    List<NDArray> tensors = new ArrayList<>();
    for (String name : names) {
      tensors.add(tensor(file, name, manager));
    }
    return List.copyOf(tensors);
  }

  /** One tensor in f32, without the columns of zeros that pad its rows in a shard. */
  private static NDArray tensor(SafetensorsFile file, String name, NDManager manager)
      throws IOException {
    Tensor tensor = file.tensor(name);
    Shape shape = new Shape(tensor.shape());
    return switch (tensor.dtype()) {
      // A view of the mapped file: on a CPU nothing is copied.
      case F32 -> manager.create(tensor.bytes(), shape, DataType.FLOAT32);
      case F16 -> {
        String in = file.metadata().get(name + ".in");
        try (NDManager scratch = manager.newSubManager()) {
          NDArray half = scratch.create(tensor.bytes(), shape, DataType.FLOAT16);
          NDArray rows = in == null ? half : half.get(new NDIndex(":, :" + Long.parseLong(in)));
          NDArray single = rows.toType(DataType.FLOAT32, true);
          single.attach(manager);
          yield single;
        }
      }
      default -> throw new IOException("the head does not run weights of dtype " + tensor.dtype());
    };
  }
}
