package io.splitcompute.doctor;

/**
 * What one check found.
 *
 * @param outcome whether it is well
 * @param check what was looked at
 * @param what was found
 * @param mend what to do about it; empty if nothing
 */
public record Finding(Outcome outcome, String check, String what, String mend) {

  /** Whether it is well. */
  public enum Outcome {
    WELL,
    /** Of no harm on a laptop, and worth a look on the internet. */
    HINT,
    WRONG
  }

  static Finding well(String check, String what) {
    return new Finding(Outcome.WELL, check, what, "");
  }

  static Finding hint(String check, String what, String mend) {
    return new Finding(Outcome.HINT, check, what, mend);
  }

  static Finding wrong(String check, String what, String mend) {
    return new Finding(Outcome.WRONG, check, what, mend);
  }

  /** Well if so, else wrong. */
  static Finding of(boolean well, String check, String what, String mend) {
    return well ? well(check, what) : wrong(check, what, mend);
  }

  @Override
  public String toString() {
    String line =
        "%-5s %s: %s"
            .formatted(
                switch (outcome) {
                  case WELL -> "ok";
                  case HINT -> "hint";
                  case WRONG -> "WRONG";
                },
                check,
                what);
    return mend.isEmpty() || outcome == Outcome.WELL ? line : line + "\n      → " + mend;
  }
}
