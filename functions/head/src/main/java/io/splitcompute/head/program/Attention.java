package io.splitcompute.head.program;

import io.splitcompute.weights.Manifest;

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
              packed = torch.view(qkv, [torch.size(x, 0), 3, %d, %d])
              q = torch.select(packed, 1, 0)
              k = torch.select(packed, 1, 1)
              v = torch.select(packed, 1, 2)
              out, _1, _2, _3, _4, = torch._flash_attention_forward(q, k, v, starts, starts, longest, longest, 0., %s, False, scale=scale)
              context = torch.view(out, [torch.size(x, 0), hidden])
          """
          .formatted(attention.heads(), attention.headSize(), causal(attention));
    }
  };

  /** From {@code qkv [T, 3h]} to {@code context [T, h]}. */
  abstract String source(Manifest.Attention attention);

  private static String causal(Manifest.Attention attention) {
    return switch (attention.mask()) {
      case CAUSAL -> "True";
      case BIDIRECTIONAL -> "False";
    };
  }
}
