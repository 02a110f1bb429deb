package io.splitcompute.head.program;

import ai.djl.ndarray.types.DataType;

/**
 * In which dtypes the layers run. The residual is what the layers add to: the activations between
 * them.
 */
public enum Precision {
  /** Everything in f32. */
  F32(DataType.FLOAT32, DataType.FLOAT32),
  /** Matrices, attention and residual in f16: the least traffic. */
  F16(DataType.FLOAT16, DataType.FLOAT16),
  /**
   * Matrices and attention in f16, residual and LayerNorm in f32: sums of many layers stay exact.
   */
  F16_RESIDUAL_F32(DataType.FLOAT16, DataType.FLOAT32);

  private final DataType matrices;
  private final DataType residual;

  Precision(DataType matrices, DataType residual) {
    this.matrices = matrices;
    this.residual = residual;
  }

  /** Of linear weights, their biases and tables. */
  public DataType matrices() {
    return matrices;
  }

  /** Of activations and LayerNorms. */
  public DataType residual() {
    return residual;
  }

  /** Source: an expression of the residual's dtype, fit as an input of a matrix. */
  String toMatrices(String expression) {
    return cast(expression, matrices);
  }

  /** Source: an expression of the matrices' dtype, in that of the residual. */
  String toResidual(String expression) {
    return cast(expression, residual);
  }

  private String cast(String expression, DataType to) {
    if (matrices == residual) {
      return expression;
    }
    // c10::ScalarType: 5 is Half, 6 is Float.
    return "torch.to(" + expression + ", " + (to == DataType.FLOAT16 ? 5 : 6) + ")";
  }
}
