package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Taken down, a deployment leaves its weights and nothing else. */
final class DestroyTest {

  private static final JsonMapper JSON = new JsonMapper();

  @ParameterizedTest
  @EnumSource
  void shouldKeepNothingButTheWeights(HeadHost head) {
    Set<String> kept = new TreeSet<>();
    for (JsonNode template : templates(head)) {
      template
          .path("Resources")
          .properties()
          .forEach(
              resource -> {
                String policy = resource.getValue().path("DeletionPolicy").asText("Delete");
                if (!policy.equals("Delete")) {
                  kept.add(resource.getKey().replaceFirst("[0-9A-F]{8}$", ""));
                }
              });
    }

    assertEquals(Set.of("Weights"), kept);
  }

  /** A function without a log group of its stack's has Lambda make one, which stays. */
  @ParameterizedTest
  @EnumSource
  void shouldGiveEachFunctionALogGroupOfItsStack(HeadHost head) {
    Set<String> without = new TreeSet<>();
    for (JsonNode template : templates(head)) {
      JsonNode resources = template.path("Resources");
      resources
          .properties()
          .forEach(
              resource -> {
                JsonNode function = resource.getValue();
                String logs = function.at("/Properties/LoggingConfig/LogGroup/Ref").asText();
                if (function.path("Type").asText().equals("AWS::Lambda::Function")
                    && !resources.path(logs).path("Type").asText().equals("AWS::Logs::LogGroup")) {
                  without.add(resource.getKey());
                }
              });
    }

    assertEquals(Set.of(), without);
  }

  private static List<JsonNode> templates(HeadHost head) {
    Synthesised synthesised = Synthesised.with(head);
    return synthesised.all().stream()
        .<JsonNode>map(stack -> JSON.valueToTree(synthesised.template(stack).toJSON()))
        .toList();
  }
}
