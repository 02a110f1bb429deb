package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The SAM template and the CDK stacks say the same where they overlap. */
final class SamTemplateTest {

  private static Resolved sam;
  private static Resolved storage;
  private static Resolved api;

  @BeforeAll
  static void read() throws Exception {
    sam = Resolved.of(Path.of("template.yaml"), Map.of("SiteOrigin", Synthesised.ORIGIN));
    storage = Resolved.of(Synthesised.with(HeadHost.LAMBDA).template("Storage").toJSON());
    api = Resolved.of(Synthesised.with(HeadHost.LAMBDA).template("Api").toJSON());
  }

  @ParameterizedTest
  @ValueSource(strings = {"Weights", "Activations"})
  void shouldMakeTheSameBuckets(String name) {
    Map<String, JsonNode> expected = properties(bucket(storage, name));
    Map<String, JsonNode> actual = properties(bucket(sam, name));
    // CDK marks the bucket that it empties; both carry the project's tag.
    expected.remove("Tags");
    actual.remove("Tags");

    assertEquals(expected, actual);
  }

  @ParameterizedTest
  @ValueSource(strings = {"Weights", "Activations"})
  void shouldRefuseTheSameRequestsToBuckets(String name) {
    List<JsonNode> expected = statements(only(storage.resources("AWS::S3::BucketPolicy"), name));
    // CDK's function that empties the bucket is CDK's alone.
    expected.removeIf(statement -> statement.path("Effect").asText().equals("Allow"));

    assertEquals(
        text(expected), text(statements(only(sam.resources("AWS::S3::BucketPolicy"), name))));
  }

  @Test
  void shouldHaveTheSameRoutes() {
    TreeSet<String> expected = new TreeSet<>();
    api.resources("AWS::ApiGatewayV2::Route")
        .values()
        .forEach(route -> expected.add(route.path("RouteKey").asText()));
    TreeSet<String> actual = new TreeSet<>();
    for (JsonNode function : sam.resources("AWS::Serverless::Function").values()) {
      for (JsonNode event : function.path("Events")) {
        JsonNode route = event.path("Properties");
        actual.add(route.path("Method").asText() + " " + route.path("Path").asText());
      }
    }

    assertEquals(expected, actual);
  }

  @Test
  void shouldThrottleLogAndAnswerOriginsAlike() {
    JsonNode gateway = only(sam.resources("AWS::Serverless::HttpApi"), "Api");
    JsonNode stage = only(api.resources("AWS::ApiGatewayV2::Stage"), "Stage");

    assertEquals(stage.path("DefaultRouteSettings"), gateway.path("DefaultRouteSettings"));
    assertEquals(stage.path("AccessLogSettings"), gateway.path("AccessLogSettings"));
    assertEquals(stage.path("StageName"), gateway.path("StageName"));
    assertEquals(
        only(api.resources("AWS::ApiGatewayV2::Api"), "Api").path("CorsConfiguration"),
        gateway.path("CorsConfiguration"));
  }

  @ParameterizedTest
  @CsvSource({"Catalog", "Head"})
  void shouldRunTheSameFunctions(String name) {
    JsonNode expected = only(api.resources("AWS::Lambda::Function"), name);
    JsonNode actual = only(sam.resources("AWS::Serverless::Function"), name);

    for (String property :
        List.of(
            "Description",
            "Handler",
            "Runtime",
            "Architectures",
            "MemorySize",
            "Timeout",
            "SnapStart",
            "EphemeralStorage",
            "ReservedConcurrentExecutions",
            "Environment")) {
      assertEquals(expected.path(property), actual.path(property), property);
    }
  }

  @ParameterizedTest
  @CsvSource({"Catalog", "Head"})
  void shouldAllowTheSame(String name) {
    List<String> expected = text(statements(only(api.resources("AWS::IAM::Policy"), name)));
    JsonNode role = only(sam.resources("AWS::IAM::Role"), name);

    assertEquals(expected, text(statements(role.path("Policies").path(0))));
  }

  @Test
  void shouldHaveNoRouteThatTakesEverything() {
    assertFalse(sam.resources("AWS::Serverless::Function").toString().contains("$default\""));
  }

  private static JsonNode bucket(Resolved template, String name) {
    return only(template.resources("AWS::S3::Bucket"), name);
  }

  /** The only resource whose id begins with a name, up to CDK's own additions. */
  private static JsonNode only(Map<String, JsonNode> resources, String name) {
    List<JsonNode> found = new ArrayList<>();
    resources.forEach(
        (id, properties) -> {
          if (id.matches(name + "(Policy|Role|RoleDefaultPolicy)?([0-9A-F]{8})?")) {
            found.add(properties);
          }
        });
    assertEquals(1, found.size(), () -> name + " among " + resources.keySet());
    return found.get(0);
  }

  private static Map<String, JsonNode> properties(JsonNode resource) {
    Map<String, JsonNode> properties = new TreeMap<>();
    resource.properties().forEach(one -> properties.put(one.getKey(), one.getValue()));
    return properties;
  }

  private static List<JsonNode> statements(JsonNode policy) {
    List<JsonNode> statements = new ArrayList<>();
    policy.path("PolicyDocument").path("Statement").forEach(statements::add);
    return statements;
  }

  private static List<String> text(List<JsonNode> statements) {
    return statements.stream().map(statement -> properties(statement).toString()).sorted().toList();
  }
}
