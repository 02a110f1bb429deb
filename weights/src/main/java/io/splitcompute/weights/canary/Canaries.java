package io.splitcompute.weights.canary;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.checkpoint.ModelSource;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Makes the canaries of a model's units, one unit after the other. The model itself runs along in
 * f64, so that a canary's input is as large as what its unit is given.
 */
public final class Canaries {

  private static final int ROWS = 8;
  private static final int SEED = 0;

  private final Reference reference;
  private final int hiddenSize;
  private final int[] tokens;
  private double[][] input = new double[0][];
  private int layer;

  public Canaries(ModelSource model) {
    this(
        new Reference(model.embeddings(), model.layer(), model.finalNorm()),
        model.hiddenSize(),
        model.vocabularySize(),
        model.maxTokens());
  }

  Canaries(Reference reference, int hiddenSize, int vocabularySize, int maxTokens) {
    this.reference = reference;
    this.hiddenSize = hiddenSize;
    this.tokens = CanaryInput.tokens(SEED, Math.min(ROWS, maxTokens), vocabularySize);
  }

  /**
   * The canary of a variant of the unit at hand.
   *
   * @param shard the variant, from which the weights are decoded
   */
  public Manifest.Canary of(SourceUnit unit, Path shard) throws IOException {
    return of(unit.name(), new ShardWeights(SafetensorsFile.open(shard)));
  }

  /** Goes on to the next unit, by way of this one's own weights. */
  public void pass(SourceUnit unit) throws IOException {
    pass(unit.name(), new CheckpointWeights(unit));
  }

  Manifest.Canary of(String unit, UnitWeights weights) throws IOException {
    float scale = scale();
    double[][] rows = CanaryInput.rows(SEED, scale, tokens.length, hiddenSize);
    double[] answer = last(run(unit, weights, rows));
    double sum = 0;
    double squares = 0;
    for (double value : answer) {
      sum += value;
      squares += value * value;
    }
    if (!Float.isFinite(scale) || !Float.isFinite((float) Math.sqrt(squares))) {
      throw new IOException(
          "unit " + unit + " gives values that f32 cannot hold: its weights are too large");
    }
    List<Float> elements = new ArrayList<>();
    for (int i = 0; i < Manifest.Canary.ELEMENTS; i++) {
      elements.add((float) answer[(int) ((long) i * answer.length / Manifest.Canary.ELEMENTS)]);
    }
    return new Manifest.Canary(
        SEED, scale, (float) (sum / answer.length), (float) Math.sqrt(squares), elements);
  }

  void pass(String unit, UnitWeights weights) throws IOException {
    // The output matrix is the last unit: what it gives is nobody's input.
    if (!unit.equals(Manifest.LM_HEAD)) {
      input = run(unit, weights, input);
      layer += unit.equals(Manifest.layerUnit(layer)) ? 1 : 0;
    }
  }

  private double[][] run(String unit, UnitWeights weights, double[][] rows) throws IOException {
    return switch (unit) {
      case Manifest.EMBEDDINGS -> reference.embed(weights, tokens);
      case Manifest.FINAL -> reference.finalNorm(weights, rows);
      case Manifest.LM_HEAD -> reference.logits(weights, new double[][] {last(rows)});
      default -> reference.layer(weights, layer, rows);
    };
  }

  private static double[] last(double[][] rows) {
    return rows[rows.length - 1];
  }

  /** The root mean square of the unit's own input; 1 for the embeddings, which have none. */
  private float scale() {
    double squares = 0;
    for (double[] row : input) {
      for (double value : row) {
        squares += value * value;
      }
    }
    float scale = (float) Math.sqrt(squares / ((double) tokens.length * hiddenSize));
    return scale == 0 ? 1 : scale;
  }
}
