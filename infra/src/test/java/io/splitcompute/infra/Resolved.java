package io.splitcompute.infra;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.AbstractConstruct;
import org.yaml.snakeyaml.constructor.SafeConstructor;
import org.yaml.snakeyaml.nodes.MappingNode;
import org.yaml.snakeyaml.nodes.Node;
import org.yaml.snakeyaml.nodes.ScalarNode;
import org.yaml.snakeyaml.nodes.SequenceNode;
import org.yaml.snakeyaml.nodes.Tag;

/**
 * A template with its parameters filled in, and with {@code <>} in the place of every reference to
 * a resource, so that templates which name their resources differently can be compared.
 */
public final class Resolved {

  private static final String REFERENCE = "<>";
  private static final Set<String> OPAQUE =
      Set.of("Fn::GetAtt", "Fn::ImportValue", "Fn::Select", "Fn::Split");
  private static final JsonMapper JSON = new JsonMapper();
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  private final JsonNode template;
  private final Map<String, String> parameters = new LinkedHashMap<>();

  private Resolved(JsonNode template, Map<String, String> given) {
    this.template = template;
    template
        .path("Parameters")
        .properties()
        .forEach(
            parameter -> {
              JsonNode otherwise = parameter.getValue().path("Default");
              parameters.put(parameter.getKey(), otherwise.asText());
            });
    parameters.putAll(given);
  }

  /** A template of CDK's. */
  static Resolved of(Map<String, Object> template) {
    return new Resolved(JSON.valueToTree(template), Map.of());
  }

  /** A template in a YAML file, with its short forms of functions. */
  public static Resolved of(Path file, Map<String, String> parameters) throws IOException {
    Object template = new Yaml(new Functions()).load(Files.readString(file));
    return new Resolved(JSON.valueToTree(template), parameters);
  }

  /** Resources of a type with their resolved properties, by their ids. */
  public Map<String, JsonNode> resources(String type) {
    Map<String, JsonNode> found = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> resource : template.path("Resources").properties()) {
      if (resource.getValue().path("Type").asText().equals(type)) {
        found.put(resource.getKey(), resolve(resource.getValue().path("Properties")));
      }
    }
    return found;
  }

  private JsonNode resolve(JsonNode node) {
    if (node.isArray()) {
      ArrayNode array = NODES.arrayNode();
      node.forEach(element -> array.add(resolve(element)));
      return array;
    }
    if (!node.isObject()) {
      return node;
    }
    if (node.size() == 1) {
      Map.Entry<String, JsonNode> only = node.properties().iterator().next();
      JsonNode answer = function(only.getKey(), only.getValue());
      if (answer != null) {
        return answer;
      }
    }
    ObjectNode object = NODES.objectNode();
    node.properties().forEach(member -> object.set(member.getKey(), resolve(member.getValue())));
    return object;
  }

  private @Nullable JsonNode function(String name, JsonNode argument) {
    if (OPAQUE.contains(name)) {
      return NODES.textNode(REFERENCE);
    }
    return switch (name) {
      case "Ref" -> {
        String value = parameters.get(argument.asText());
        yield value == null
            ? NODES.textNode(REFERENCE)
            : value.matches("[0-9]+")
                ? NODES.numberNode(Integer.parseInt(value))
                : NODES.textNode(value);
      }
      // The tests fill in what makes conditions true.
      case "Fn::If" -> resolve(argument.path(1));
      case "Fn::Sub" -> NODES.textNode(argument.asText().replaceAll("\\$\\{[^}]*}", REFERENCE));
      case "Fn::Join" -> {
        StringBuilder text = new StringBuilder();
        argument.path(1).forEach(part -> text.append(resolve(part).asText()));
        yield NODES.textNode(text.toString());
      }
      default -> null;
    };
  }

  /**
   * Reads {@code !Ref name} as {@code {Ref: name}} and {@code !Sub text} as {@code {Fn::Sub:
   * text}}.
   */
  private static final class Functions extends SafeConstructor {

    Functions() {
      super(new LoaderOptions());
      for (String name : List.of("Ref", "Sub", "GetAtt", "If", "Not", "Equals")) {
        String full = name.equals("Ref") ? name : "Fn::" + name;
        yamlConstructors.put(
            new Tag("!" + name),
            new AbstractConstruct() {
              @Override
              public Object construct(Node node) {
                return Map.of(full, value(node));
              }
            });
      }
    }

    private Object value(Node node) {
      if (node instanceof ScalarNode scalar) {
        return scalar.getValue();
      }
      return node instanceof SequenceNode sequence
          ? constructSequence(sequence)
          : constructMapping((MappingNode) node);
    }
  }
}
