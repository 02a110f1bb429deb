package io.splitcompute.api;

import io.splitcompute.weights.ModelName;

/** The model that a request asks for. */
public final class RequestedModel {
  private RequestedModel() {}

  /**
   * @param name from a path or a body; the owner of a hub name ({@code owner/name}) is dropped
   * @throws ProblemException model-not-found if no model can have the name
   */
  public static ModelName named(String name) {
    int slash = name.indexOf('/');
    try {
      if (slash >= 0) {
        new ModelName(name.substring(0, slash));
      }
      return new ModelName(name.substring(slash + 1));
    } catch (IllegalArgumentException impossible) {
      throw notFound();
    }
  }

  /** The answer where a model is not there. */
  public static ProblemException notFound() {
    return ProblemException.of(
        ProblemType.MODEL_NOT_FOUND, "GET /v1/models lists the models that are there");
  }
}
