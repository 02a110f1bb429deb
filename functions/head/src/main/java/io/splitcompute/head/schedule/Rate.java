package io.splitcompute.head.schedule;

/**
 * How fast a model runs, measured: token-layers a second (one token through one layer is one), over
 * the recent past.
 */
public final class Rate {

  /** What a measurement still counts when as much work again was measured, so many times over. */
  private static final double KEPT = 0.9;

  private double work;
  private double seconds;

  /** Adds a measurement. */
  public synchronized void add(long tokenLayers, double seconds) {
    this.work = this.work * KEPT + tokenLayers;
    this.seconds = this.seconds * KEPT + seconds;
  }

  /** The time that work will take; zero while nothing is measured. */
  synchronized double secondsFor(long tokenLayers) {
    return work == 0 ? 0 : tokenLayers * seconds / work;
  }
}
