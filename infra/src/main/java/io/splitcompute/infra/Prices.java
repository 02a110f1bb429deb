package io.splitcompute.infra;

/** stub */
record Prices(double egressUsdPerGigabyte) {
  static Prices read() {
    return new Prices(0.09);
  }
}
