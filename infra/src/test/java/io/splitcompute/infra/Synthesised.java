package io.splitcompute.infra;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.github.cdklabs.cdknag.AwsSolutionsChecks;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import software.amazon.awscdk.App;
import software.amazon.awscdk.AppProps;
import software.amazon.awscdk.Aspects;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.assertions.Annotations;
import software.amazon.awscdk.assertions.Match;
import software.amazon.awscdk.assertions.Template;

/**
 * The whole application, synthesised into {@code target/cdk.out/<head>/} once for each value of
 * {@code head}, under cdk-nag's rules.
 */
final class Synthesised {

  static final String ORIGIN = "https://site.example";

  private static final JsonMapper JSON = new JsonMapper();
  private static final Map<HeadHost, Synthesised> MADE = new EnumMap<>(HeadHost.class);

  private final Stacks stacks;
  private final List<Stack> all;
  private final Map<Stack, Template> templates = new HashMap<>();

  private Synthesised(HeadHost head) {
    App app =
        new App(
            AppProps.builder()
                .outdir(Path.of("target", "cdk.out", head.word()).toString())
                .build());
    stacks = Stacks.in(app, settings(Map.of("head", head.word())));
    Aspects.of(app).add(AwsSolutionsChecks.Builder.create().verbose(true).build());
    app.synth();
    all =
        app.getNode().getChildren().stream()
            .filter(Stack.class::isInstance)
            .map(Stack.class::cast)
            .toList();
  }

  static synchronized Synthesised with(HeadHost head) {
    return MADE.computeIfAbsent(head, Synthesised::new);
  }

  /** Settings with the site's origin known, and what else is given. */
  static Settings settings(Map<String, String> more) {
    Map<String, String> context = new HashMap<>(more);
    context.putIfAbsent("siteOrigin", ORIGIN);
    context.putIfAbsent("headImage", "splitcompute/head:0.1.0");
    context.putIfAbsent("gpuImage", "splitcompute/head-gpu:0.1.0");
    return Settings.of(context::get, Path.of(".."));
  }

  Stacks stacks() {
    return stacks;
  }

  List<Stack> all() {
    return all;
  }

  /** A stack by the end of its name. */
  Template template(String name) {
    Stack stack =
        all.stream()
            .filter(one -> one.getStackName().equals("SplitCompute" + name))
            .findFirst()
            .orElseThrow();
    return template(stack);
  }

  Template template(Stack stack) {
    return templates.computeIfAbsent(stack, Template::fromStack);
  }

  /** A template's resources of a type, by their logical ids. */
  static Map<String, JsonNode> resources(Template template, String type) {
    Map<String, JsonNode> found = new TreeMap<>();
    JSON.valueToTree(template.findResources(type))
        .properties()
        .forEach(resource -> found.put(resource.getKey(), resource.getValue()));
    return found;
  }

  /** What cdk-nag finds wrong with a stack. */
  @SuppressWarnings("deprecation") // the only type in which CDK answers them
  static List<String> errors(Stack stack) {
    return Annotations.fromStack(stack)
        .findError("*", Match.stringLikeRegexp("AwsSolutions.*"))
        .stream()
        .map(
            found ->
                found.getId()
                    + ": "
                    + String.valueOf(found.getEntry().getData()).lines().findFirst().orElse(""))
        .toList();
  }
}
