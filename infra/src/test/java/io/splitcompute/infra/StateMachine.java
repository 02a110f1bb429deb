package io.splitcompute.infra;

import static com.dashjoin.jsonata.Jsonata.jsonata;

import com.dashjoin.jsonata.Jsonata;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Runs a definition in the Amazon States Language with JSONata expressions, as far as the pool's
 * switch uses it: tasks, choices and maps, with assigned variables.
 */
final class StateMachine {

  private static final JsonMapper JSON = new JsonMapper();

  /** Answers the calls of tasks. */
  @FunctionalInterface
  interface Calls {
    Map<String, Object> call(String resource, Map<String, Object> arguments);
  }

  private final JsonNode definition;
  private final Calls calls;

  /**
   * @param names what stands for the names in {@code ${}}
   */
  StateMachine(String definition, Map<String, String> names, Calls calls) throws Exception {
    String filled = definition;
    for (Map.Entry<String, String> name : names.entrySet()) {
      filled = filled.replace("${" + name.getKey() + "}", name.getValue());
    }
    if (filled.contains("${")) {
      throw new IllegalArgumentException("a name has no value in " + filled);
    }
    this.definition = JSON.readTree(filled);
    this.calls = calls;
  }

  void run() {
    run(definition, new HashMap<>(), Map.of());
  }

  private void run(JsonNode machine, Map<String, Object> variables, Map<String, Object> input) {
    @Nullable String name = machine.path("StartAt").asText();
    while (name != null) {
      JsonNode state = machine.path("States").path(name);
      name =
          switch (state.path("Type").asText()) {
            case "Task" -> task(state, variables, input);
            case "Choice" -> choice(state, variables);
            case "Map" -> map(state, variables);
            default -> throw new IllegalStateException(name + " is not understood: " + state);
          };
    }
  }

  private @Nullable String task(
      JsonNode state, Map<String, Object> variables, Map<String, Object> input) {
    @SuppressWarnings("unchecked") // arguments are an object
    Map<String, Object> arguments =
        (Map<String, Object>) evaluate(state.path("Arguments"), variables, Map.of("input", input));
    Map<String, Object> result = calls.call(state.path("Resource").asText(), arguments);
    assign(state, variables, Map.of("result", result));
    return next(state);
  }

  private String choice(JsonNode state, Map<String, Object> variables) {
    for (JsonNode choice : state.path("Choices")) {
      if (Boolean.TRUE.equals(evaluate(choice.path("Condition"), variables, Map.of()))) {
        assign(choice, variables, Map.of());
        return choice.path("Next").asText();
      }
    }
    return state.path("Default").asText();
  }

  private @Nullable String map(JsonNode state, Map<String, Object> variables) {
    for (Object item : (List<?>) evaluate(state.path("Items"), variables, Map.of())) {
      Map<String, Object> context =
          Map.of("context", Map.of("Map", Map.of("Item", Map.of("Value", item))));
      @SuppressWarnings("unchecked") // an item selector is an object
      Map<String, Object> input =
          (Map<String, Object>) evaluate(state.path("ItemSelector"), variables, context);
      run(state.path("ItemProcessor"), new HashMap<>(variables), input);
    }
    return next(state);
  }

  private static void assign(
      JsonNode state, Map<String, Object> variables, Map<String, Object> states) {
    // All are evaluated before any is assigned.
    Map<String, Object> assigned = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> one : state.path("Assign").properties()) {
      assigned.put(one.getKey(), evaluate(one.getValue(), variables, states));
    }
    variables.putAll(assigned);
  }

  private static @Nullable String next(JsonNode state) {
    return state.path("End").asBoolean() ? null : state.path("Next").asText();
  }

  private static Object evaluate(
      JsonNode node, Map<String, Object> variables, Map<String, Object> states) {
    if (node.isTextual() && node.asText().startsWith("{%")) {
      String text = node.asText();
      Jsonata expression = jsonata(text.substring(2, text.length() - 2).strip());
      Jsonata.Frame frame = expression.createFrame();
      variables.forEach(frame::bind);
      frame.bind("states", states);
      return Objects.requireNonNull(expression.evaluate(null, frame), text);
    }
    if (node.isArray()) {
      return JSON.convertValue(node, List.class);
    }
    if (node.isObject()) {
      Map<String, Object> object = new LinkedHashMap<>();
      node.properties()
          .forEach(one -> object.put(one.getKey(), evaluate(one.getValue(), variables, states)));
      return object;
    }
    return JSON.convertValue(node, Object.class);
  }
}
