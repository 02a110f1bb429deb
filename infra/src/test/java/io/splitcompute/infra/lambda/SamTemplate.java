package io.splitcompute.infra.lambda;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.infra.Resolved;
import io.splitcompute.infra.s3.CloudS3;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What {@code template.yaml} deploys, and so, as a test shows, the CDK application. */
final class SamTemplate {

  /** A route of the API and the function that it leads to. */
  record Route(String method, String path, String function) {}

  private final Map<String, JsonNode> functions;
  private final JsonNode cors;

  /**
   * @param origin the site's
   */
  SamTemplate(String origin) throws IOException {
    Resolved template =
        Resolved.of(
            Path.of("template.yaml"),
            Map.of("SiteOrigin", origin, "AWS::Region", CloudS3.REGION.id()));
    functions = template.resources("AWS::Serverless::Function");
    cors =
        template
            .resources("AWS::Serverless::HttpApi")
            .values()
            .iterator()
            .next()
            .path("CorsConfiguration");
  }

  /** What the runtime calls. */
  String handler(String function) {
    return resource(function).path("Handler").asText();
  }

  JsonNode cors() {
    return cors;
  }

  List<Route> routes() {
    List<Route> routes = new ArrayList<>();
    functions.forEach(
        (name, function) ->
            function
                .path("Events")
                .forEach(
                    event -> {
                      JsonNode route = event.path("Properties");
                      routes.add(
                          new Route(
                              route.path("Method").asText(), route.path("Path").asText(), name));
                    }));
    return routes;
  }

  /** A function's variables, with what Lambda adds, on another S3 than AWS's. */
  Map<String, String> environment(String function, CloudS3 s3, String weights, String activations) {
    Map<String, String> all = new HashMap<>();
    resource(function)
        .path("Environment")
        .path("Variables")
        .properties()
        .forEach(variable -> all.put(variable.getKey(), variable.getValue().asText()));
    all.replace("SPLITCOMPUTE_WEIGHTS", "s3:" + weights);
    all.replace("SPLITCOMPUTE_ACTIVATIONS_BUCKET", activations);
    all.put("SPLITCOMPUTE_S3_ENDPOINT", s3.endpoint().toString());
    all.put("SPLITCOMPUTE_PATH_STYLE", "true");
    all.put("AWS_REGION", CloudS3.REGION.id());
    all.put("AWS_ACCESS_KEY_ID", CloudS3.ACCESS_KEY);
    all.put("AWS_SECRET_ACCESS_KEY", CloudS3.SECRET_KEY);
    all.put("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", resource(function).path("MemorySize").asText());
    return all;
  }

  private JsonNode resource(String function) {
    JsonNode found = functions.get(function);
    if (found == null) {
      throw new IllegalArgumentException("the template has no function " + function);
    }
    return found;
  }
}
