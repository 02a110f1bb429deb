package io.splitcompute.head.schedule;

/**
 * How fast a model runs, measured: what a layer costs however few tokens it runs (its weights are
 * read all the same), and what each token adds. Both are fitted to the batches of the recent past
 * by least squares of the relative error, which hardly sees a batch that took long by accident; so
 * all is then scaled until the fit gives those batches the time that they took together.
 */
public final class Rate {

  /** What a batch still counts when another one was measured. */
  private static final double KEPT = 0.97;

  /** Of two sizes that are closer than this, no slope can be told. */
  private static final double SINGULAR = 1e-3;

  // The normal equations of layers / seconds * a + tokenLayers / seconds * b = 1.
  private double layersSquared;
  private double mixed;
  private double workSquared;
  private double layersSum;
  private double workSum;

  // All layers, token-layers and seconds of those batches.
  private double layersRun;
  private double workRun;
  private double secondsRun;

  /**
   * Adds a measurement.
   *
   * @param layers that ran
   * @param tokenLayers a token through a layer is one
   */
  public synchronized void add(int layers, long tokenLayers, double seconds) {
    double l = layers / seconds;
    double w = tokenLayers / seconds;
    layersSquared = layersSquared * KEPT + l * l;
    mixed = mixed * KEPT + l * w;
    workSquared = workSquared * KEPT + w * w;
    layersSum = layersSum * KEPT + l;
    workSum = workSum * KEPT + w;
    layersRun = layersRun * KEPT + layers;
    workRun = workRun * KEPT + (double) tokenLayers;
    secondsRun = secondsRun * KEPT + seconds;
  }

  /** The time that so much will take; zero while nothing is measured. */
  synchronized double secondsFor(long layers, long tokenLayers) {
    if (workSquared == 0) {
      return 0;
    }
    return fitted((double) layers, (double) tokenLayers) * secondsRun / fitted(layersRun, workRun);
  }

  private double fitted(double layers, double tokenLayers) {
    double determinant = layersSquared * workSquared - mixed * mixed;
    double aLayer = (layersSum * workSquared - workSum * mixed) / determinant;
    double aToken = (layersSquared * workSum - mixed * layersSum) / determinant;
    boolean told = determinant > SINGULAR * layersSquared * workSquared;
    if (!told || aLayer < 0) {
      return tokenLayers * workSum / workSquared;
    }
    return aToken < 0 ? layers * layersSum / layersSquared : layers * aLayer + tokenLayers * aToken;
  }
}
