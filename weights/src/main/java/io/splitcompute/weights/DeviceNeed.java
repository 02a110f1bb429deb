package io.splitcompute.weights;

import java.util.List;

/**
 * What a device needs to run the layers from a cut on.
 *
 * @param bytes of the shards that it fetches
 * @param memory bytes on its GPU, for one input of the most tokens: the shards and the workspace
 */
public record DeviceNeed(long bytes, long memory) {

  /** A matmul reads rows up to so many floats at a time; what pads them is there too. */
  private static final int STRIDE = 32;

  /** Slices of a matmul's inner dimension, whose sums are kept until they are added up. */
  private static final int SLICES = 16;

  /** Floats that all slices but the first take at most. */
  private static final long SLICED_FLOATS = 1_200L * 64 * 64;

  /** A token's id and position, what it attends to, its sequence's rows, its place if asked for. */
  private static final int INDEX_BYTES = 8 + 32 + 8 + 4;

  /**
   * The needs of every cut.
   *
   * @param dtype of the weights
   * @return from cut 0 to cut n, at which a device needs nothing
   */
  public static List<DeviceNeed> ofCuts(Manifest manifest, String dtype) {
    DeviceNeed[] needs = new DeviceNeed[manifest.layers() + 1];
    needs[manifest.layers()] = new DeviceNeed(0, 0);
    long workspace =
        workspaceBytes(
            manifest.hiddenSize(), manifest.layer().mlp().innerSize(), manifest.maxTokens());
    long bytes =
        manifest.finalNorm() == null ? 0 : manifest.unit(Manifest.FINAL).variant(dtype).bytes();
    for (int cut = manifest.layers() - 1; cut >= 0; cut--) {
      bytes += manifest.unit(Manifest.layerUnit(cut)).variant(dtype).bytes();
      if (cut == 0) {
        bytes += manifest.unit(Manifest.EMBEDDINGS).variant(dtype).bytes();
      }
      needs[cut] = new DeviceNeed(bytes, bytes + workspace);
    }
    return List.of(needs);
  }

  /**
   * Bytes of the tail's workspace, all its buffers together; the SDK's {@code engine/workspace.ts}
   * allocates them, and both sides run the test vectors.
   */
  static long workspaceBytes(int hiddenSize, int innerSize, int tokens) {
    long hidden = stride(hiddenSize);
    long qkv = stride(3L * hiddenSize);
    long inner = stride(innerSize);
    long widest = tokens * Math.max(qkv, inner);
    long sums = widest + Math.min((SLICES - 1) * widest, SLICED_FLOATS);
    // The message, the residual stream, what is normed and what attention gives.
    long rows = tokens * (4 * hidden + qkv + inner);
    return (rows + sums) * Float.BYTES + (long) tokens * INDEX_BYTES;
  }

  private static long stride(long columns) {
    return (columns + STRIDE - 1) / STRIDE * STRIDE;
  }
}
