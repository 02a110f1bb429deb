package io.splitcompute.head.message;

/** How activations travel. */
public enum HiddenDtype {
  F32(4),
  F16(2),
  I8(1);

  private final int bytes;

  HiddenDtype(int bytes) {
    this.bytes = bytes;
  }

  /** Bytes of one element, the scales of {@link #I8} not counted. */
  public int bytes() {
    return bytes;
  }
}
