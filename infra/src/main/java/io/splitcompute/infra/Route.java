package io.splitcompute.infra;

import java.util.List;
import software.amazon.awscdk.services.apigatewayv2.HttpMethod;

/**
 * A call of the API. What is not listed here is not there: the gateway has no default route.
 *
 * @param method of the request
 * @param path with its parameters in braces
 * @param function which answers
 * @param open whether it is answered without a token where the API asks for one
 */
record Route(HttpMethod method, String path, Function function, boolean open) {

  /** The two functions behind the API. */
  enum Function {
    CATALOG,
    HEAD
  }

  /** All calls of the API. */
  static final List<Route> ALL =
      List.of(
          new Route(HttpMethod.GET, "/v1/models", Function.CATALOG, false),
          new Route(HttpMethod.GET, "/v1/models/{model}", Function.CATALOG, false),
          new Route(HttpMethod.GET, "/v1/models/{model}/manifest", Function.CATALOG, false),
          new Route(HttpMethod.POST, "/v1/models/{model}/shards", Function.CATALOG, false),
          new Route(HttpMethod.POST, "/v1/plan", Function.CATALOG, false),
          new Route(HttpMethod.POST, "/v1/embed", Function.HEAD, false),
          new Route(HttpMethod.POST, "/v1/embeddings", Function.HEAD, false),
          new Route(HttpMethod.POST, "/v1/generate", Function.HEAD, false),
          new Route(HttpMethod.POST, "/v1/generate/{session}/step", Function.HEAD, false),
          new Route(HttpMethod.DELETE, "/v1/generate/{session}", Function.HEAD, false),
          new Route(HttpMethod.GET, "/health", Function.HEAD, true));

  /** As API Gateway writes it. */
  String key() {
    return method + " " + path;
  }
}
