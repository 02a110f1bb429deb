package io.splitcompute.head.program;

import io.splitcompute.weights.Manifest;

/** How a linear map is written: {@code x [T, in]} to {@code [T, out]} with what follows it. */
public enum Linear {
  /** PyTorch's own {@code linear}. */
  PLAIN {
    @Override
    String map(String x, String weights) {
      return "torch.linear(%s, %s_weight, %<s_bias)".formatted(x, weights);
    }

    @Override
    String add(String x, String residual, String weights) {
      return "torch.add(%s, %s)".formatted(residual, map(x, weights));
    }

    @Override
    String activate(String x, String weights, Manifest.Activation activation) {
      String mapped = map(x, weights);
      return switch (activation) {
        case GELU_TANH -> "torch.gelu(" + mapped + ", approximate=\"tanh\")";
        case GELU_ERF -> "torch.gelu(" + mapped + ")";
        case RELU -> "torch.relu(" + mapped + ")";
      };
    }
  },

  /**
   * For GPUs, where calls and memory traffic cost much: bias and activation run in the epilogue of
   * cuBLASLt's matmul (its GELU is the tanh one), and a sum is written over the residual. Weights
   * are {@code [in, out]}, {@link #transposed}, which spares a call.
   */
  EPILOGUE {
    @Override
    String map(String x, String weights) {
      return "torch.addmm(%s_bias, %s, %1$s_weight)".formatted(weights, x);
    }

    @Override
    String add(String x, String residual, String weights) {
      return "torch.add_(%s, %s)".formatted(residual, map(x, weights));
    }

    @Override
    String activate(String x, String weights, Manifest.Activation activation) {
      return switch (activation) {
        case GELU_TANH -> fused(x, weights, "True");
        case GELU_ERF -> "torch.gelu(" + map(x, weights) + ")";
        case RELU -> fused(x, weights, "False");
      };
    }

    private String fused(String x, String weights, String gelu) {
      return "torch._addmm_activation(%s_bias, %s, %1$s_weight, use_gelu=%s)"
          .formatted(weights, x, gelu);
    }

    @Override
    public boolean transposed() {
      return true;
    }
  },

  /**
   * oneDNN's, for CPUs: weights are laid out once for its kernels, and what follows runs on the
   * tile while it is in the cache. The operators are those that PyTorch's own compiler emits
   * ({@code aten/src/ATen/native/mkldnn/Linear.cpp}).
   */
  PACKED {
    @Override
    String map(String x, String weights) {
      return pointwise(x, weights, "none", "");
    }

    @Override
    String add(String x, String residual, String weights) {
      return "ops.mkldnn._linear_pointwise(%s, %s, %s_weight, %<s_bias, \"add\")"
          .formatted(x, residual, weights);
    }

    @Override
    String activate(String x, String weights, Manifest.Activation activation) {
      return switch (activation) {
        case GELU_TANH -> pointwise(x, weights, "gelu", "tanh");
        case GELU_ERF -> pointwise(x, weights, "gelu", "none");
        case RELU -> pointwise(x, weights, "relu", "");
      };
    }

    private String pointwise(String x, String weights, String name, String algorithm) {
      return "ops.mkldnn._linear_pointwise(%s, %s_weight, %<s_bias, \"%s\", annotate(List[Optional[number]], []), \"%s\")"
          .formatted(x, weights, name, algorithm);
    }
  };

  /** {@code x W^T + b}. */
  abstract String map(String x, String weights);

  /** {@code residual + x W^T + b}; it may be written over the residual. */
  abstract String add(String x, String residual, String weights);

  /** {@code activation(x W^T + b)}. */
  abstract String activate(String x, String weights, Manifest.Activation activation);

  /** Whether weights are taken as views {@code [in, out]} of what is stored. */
  public boolean transposed() {
    return false;
  }
}
