package io.splitcompute.infra;

import java.util.Map;

/** The storage stack's template, for tests of other packages. */
public final class SynthesisedStorage {
  private SynthesisedStorage() {}

  public static Map<String, Object> template() {
    return Synthesised.with(HeadHost.LAMBDA).template("Storage").toJSON();
  }
}
