package io.splitcompute.head.program;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import io.splitcompute.weights.Manifest;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How attention runs over sequences packed end to end, so that nothing is padded and no sequence
 * sees another.
 */
public enum Attention {
  /** A call for each run of neighbouring sequences of one length. */
  BY_LENGTH {
    @Override
    String source(Manifest.Attention attention) {
      return """
              contexts = annotate(List[Tensor], [])
              start = 0
              for i in range(torch.floordiv(torch.len(runs), 2)):
                count = runs[torch.mul(i, 2)]
                length = runs[torch.add(torch.mul(i, 2), 1)]
                rows = torch.mul(count, length)
                end = torch.add(start, rows)
                packed = torch.view(torch.slice(qkv, 0, start, end), [count, length, 3, %d, %d])
                heads = torch.permute(packed, [2, 0, 3, 1, 4])
                q = torch.select(heads, 0, 0)
                k = torch.select(heads, 0, 1)
                v = torch.select(heads, 0, 2)
                one = torch.scaled_dot_product_attention(q, k, v, None, 0., %s, scale=scale)
                _0 = torch.append(contexts, torch.reshape(torch.transpose(one, 1, 2), [rows, hidden]))
                start = end
              context = torch.cat(contexts, 0)
          """
          .formatted(attention.heads(), attention.headSize(), causal(attention));
    }
  },

  /** One call of the GPU's FlashAttention for sequences of any lengths; f16, head sizes of 8 n. */
  RAGGED {
    @Override
    String source(Manifest.Attention attention) {
      return """
              q, k, v, = torch.unbind(torch.view(qkv, [-1, 3, %d, %d]), 1)
              out, _1, _2, _3, _4, = torch._flash_attention_forward(q, k, v, starts, starts, longest, longest, 0., %s, False, scale=scale)
              context = torch.view(out, [-1, hidden])
          """
          .formatted(attention.heads(), attention.headSize(), causal(attention));
    }
  };

  /** The largest head that {@link #RAGGED} takes. */
  public static final int MOST_RAGGED_HEAD_SIZE = 256;

  private static final Logger LOG = LoggerFactory.getLogger(Attention.class);

  /**
   * Whether {@link #RAGGED} runs on a device, and as {@link #BY_LENGTH} does: older GPUs and f32
   * lack it.
   */
  public static boolean raggedWorks(PtNDManager manager, Precision precision) {
    if (precision == Precision.F32) {
      return false;
    }
    try (PtNDManager scratch = (PtNDManager) manager.newSubManager();
        Program ragged = check(RAGGED, manager.getDevice());
        Program byLength = check(BY_LENGTH, manager.getDevice());
        IValue x = IValue.from((PtNDArray) scratch.zeros(new Shape(8, 16), DataType.FLOAT16));
        IValue qkv =
            IValue.from(
                (PtNDArray)
                    scratch
                        .randomUniform(-1, 1, new Shape(8, 48), DataType.FLOAT32)
                        .toType(DataType.FLOAT16, false));
        IValue runs = IValue.listFrom(1L, 3L, 1L, 5L);
        IValue starts = IValue.from((PtNDArray) scratch.create(new int[] {0, 3, 8}));
        IValue longest = IValue.from(5L);
        IValue scale = IValue.from(0.5);
        IValue actual = ragged.run(x, qkv, runs, starts, longest, scale);
        IValue expected = byLength.run(x, qkv, runs, starts, longest, scale)) {
      return actual
          .toTensor(scratch)
          .sub(expected.toTensor(scratch))
          .abs()
          .max()
          .toType(DataType.FLOAT32, false)
          .lte(1e-2)
          .getBoolean();
    } catch (EngineException | IllegalStateException absent) {
      LOG.info("This GPU has no attention over ragged batches; it runs a length at a time");
      return false;
    }
  }

  private static Program check(Attention attention, Device device) {
    return Program.compile(
        "Check",
        """
          def forward(self: __torch__.Check,
            x: Tensor,
            qkv: Tensor,
            runs: List[int],
            starts: Tensor,
            longest: int,
            scale: float) -> Tensor:
            hidden = torch.size(x, 1)
        %s    return context
        """
            .formatted(
                attention.source(new Manifest.Attention(2, 8, Manifest.Mask.CAUSAL, List.of(1.0)))),
        device);
  }

  /** From {@code qkv [T, 3h]} to {@code context [T, h]}. */
  abstract String source(Manifest.Attention attention);

  private static String causal(Manifest.Attention attention) {
    return switch (attention.mask()) {
      case CAUSAL -> "True";
      case BIDIRECTIONAL -> "False";
    };
  }
}
