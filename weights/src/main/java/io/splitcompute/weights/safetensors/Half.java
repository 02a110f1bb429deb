package io.splitcompute.weights.safetensors;

/**
 * Conversions between {@code float} and the 16-bit formats: IEEE 754 binary16 (f16) and bfloat16,
 * which is the upper half of a float.
 */
public final class Half {

  /** The largest finite f16. */
  public static final float MAX_VALUE = 65_504f;

  private static final int F16_INFINITY = 0x7c00;

  private Half() {}

  /**
   * Rounds to the nearest f16, ties to even. What is too large becomes infinity, NaN stays NaN.
   *
   * @return the bits of the f16
   */
  public static short fromFloat(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = (bits >>> 16) & 0x8000;
    int magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      // A quiet NaN, with as much of the payload as there is room for.
      return (short) (sign | F16_INFINITY | 0x200 | ((magnitude >>> 13) & 0x3ff));
    }
    if (magnitude >= 0x47800000) { // 2^16
      return (short) (sign | F16_INFINITY);
    }
    if (magnitude >= 0x38800000) { // 2^-14: normal in f16
      int rebiased = magnitude - ((127 - 15) << 23);
      return (short) (sign | shiftNearestEven(rebiased, 13));
    }
    if (magnitude < 0x33000000) { // below 2^-25: nearest is zero
      return (short) sign;
    }
    int mantissa = (magnitude & 0x7fffff) | 0x800000;
    return (short) (sign | shiftNearestEven(mantissa, 126 - (magnitude >>> 23)));
  }

  private static int shiftNearestEven(int value, int shift) {
    int kept = value >>> shift;
    int lost = value & ((1 << shift) - 1);
    int half = 1 << (shift - 1);
    return lost > half || (lost == half && (kept & 1) == 1) ? kept + 1 : kept;
  }

  /** The value of an f16, exactly. */
  public static float toFloat(short bits) {
    int sign = (bits & 0x8000) << 16;
    int exponent = (bits >>> 10) & 0x1f;
    int mantissa = bits & 0x3ff;
    if (exponent == 0x1f) {
      return Float.intBitsToFloat(sign | 0x7f800000 | (mantissa << 13));
    }
    if (exponent == 0) {
      float magnitude = mantissa * 0x1p-24f;
      return sign == 0 ? magnitude : -magnitude;
    }
    return Float.intBitsToFloat(sign | ((exponent + 127 - 15) << 23) | (mantissa << 13));
  }

  /** The value of a bfloat16, exactly. */
  public static float fromBfloat16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }
}
