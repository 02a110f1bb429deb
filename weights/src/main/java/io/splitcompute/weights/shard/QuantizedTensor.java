package io.splitcompute.weights.shard;

import static io.splitcompute.weights.shard.BlockQuantization.BLOCK;

import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A linear weight as quants and scales. The quants stream; the scales are kept until theirs is the
 * turn, a thirty-second of the weight's bytes in f16. Rows are quantised in parallel, each by
 * itself, so the bytes do not depend on the number of processors.
 */
final class QuantizedTensor {

  private static final int SCALES_AT_ONCE = 1 << 16;

  private final SourceTensor tensor;
  private final BlockQuantization quantization;
  private final DType dtype;
  private final int columnsPerByte;
  private final short[] scales;
  private boolean quantized;

  private QuantizedTensor(
      SourceTensor tensor, BlockQuantization quantization, DType dtype, int columnsPerByte) {
    this.tensor = tensor;
    this.quantization = quantization;
    this.dtype = dtype;
    this.columnsPerByte = columnsPerByte;
    this.scales = new short[Math.multiplyExact(tensor.rows(), blocks(tensor))];
  }

  static QuantizedTensor q8(SourceTensor tensor) {
    return new QuantizedTensor(tensor, BlockQuantization.Q8, DType.I8, 1);
  }

  static QuantizedTensor q4(SourceTensor tensor) {
    return new QuantizedTensor(tensor, BlockQuantization.Q4, DType.U8, 2);
  }

  /** Blocks of a row, the last one filled up. */
  static int blocks(SourceTensor tensor) {
    return (tensor.columns() + BLOCK - 1) / BLOCK;
  }

  /** The quants and, to be written behind them, the scales. */
  List<Source> sources() {
    int blocks = blocks(tensor);
    return List.of(
        new Source(
            tensor.name(),
            dtype,
            new long[] {tensor.rows(), (long) blocks * BLOCK / columnsPerByte},
            this::writeQuants),
        new Source(
            tensor.name() + ".scales",
            DType.F16,
            new long[] {tensor.rows(), blocks},
            this::writeScales));
  }

  private void writeQuants(OutputStream out) throws IOException {
    int blocks = blocks(tensor);
    int rowBytes = blocks * BLOCK / columnsPerByte;
    tensor.forEachBlock(
        (first, count, values) -> {
          for (float value : values) {
            FloatTensor.requireWithinF16(tensor, value);
          }
          byte[] bytes = new byte[count * rowBytes];
          IntStream.range(0, count)
              .parallel()
              .forEach(row -> quantize(values, row, first + row, bytes, row * rowBytes));
          out.write(bytes);
        });
    quantized = true;
  }

  private void quantize(float[] values, int row, int scaleRow, byte[] bytes, int at) {
    int columns = tensor.columns();
    int blocks = blocks(tensor);
    byte[] quants = new byte[BLOCK];
    for (int block = 0; block < blocks; block++) {
      int begin = row * columns + block * BLOCK;
      int end = Math.min(begin + BLOCK, (row + 1) * columns);
      Arrays.fill(quants, (byte) 0);
      scales[scaleRow * blocks + block] = quantization.quantize(values, begin, end, quants, 0);
      int to = at + block * BLOCK / columnsPerByte;
      if (columnsPerByte == 1) {
        System.arraycopy(quants, 0, bytes, to, BLOCK);
      } else {
        packNibbles(quants, bytes, to);
      }
    }
  }

  /**
   * Eight columns a word: the first four in the low nibbles of its bytes, the others in the high.
   */
  private static void packNibbles(byte[] quants, byte[] bytes, int at) {
    for (int word = 0; word < BLOCK / 8; word++) {
      for (int i = 0; i < 4; i++) {
        int low = quants[8 * word + i] + 8;
        int high = quants[8 * word + 4 + i] + 8;
        bytes[at + 4 * word + i] = (byte) (low | high << 4);
      }
    }
  }

  private void writeScales(OutputStream out) throws IOException {
    if (!quantized) {
      throw new IllegalStateException("the scales of " + tensor + " stand behind its quants");
    }
    for (int first = 0; first < scales.length; first += SCALES_AT_ONCE) {
      int count = Math.min(SCALES_AT_ONCE, scales.length - first);
      ByteBuffer bytes =
          ByteBuffer.allocate(count * DType.F16.bytes()).order(ByteOrder.LITTLE_ENDIAN);
      bytes.asShortBuffer().put(scales, first, count);
      out.write(bytes.array());
    }
  }
}
