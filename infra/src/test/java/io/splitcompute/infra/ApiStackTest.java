package io.splitcompute.infra;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import software.amazon.awscdk.App;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.assertions.Match;
import software.amazon.awscdk.assertions.Template;

/** What the API stack promises, read off its template. */
final class ApiStackTest {

  private static final String FUNCTION = "AWS::Lambda::Function";
  private static final String POLICY = "AWS::IAM::Policy";

  @ParameterizedTest
  @EnumSource
  void shouldHaveTheListedRoutesAndNoDefault(HeadHost head) {
    List<String> keys =
        routes(api(head)).stream().map(route -> route.path("RouteKey").asText()).toList();
    assertEquals(new TreeSet<>(Route.ALL.stream().map(Route::key).toList()), new TreeSet<>(keys));
    assertFalse(keys.contains("$default"));
  }

  @Test
  void shouldThrottleByDefault() {
    api(HeadHost.LAMBDA)
        .hasResourceProperties(
            "AWS::ApiGatewayV2::Stage",
            Match.objectLike(
                Map.of(
                    "DefaultRouteSettings",
                    Map.of(
                        "ThrottlingRateLimit", 20,
                        "ThrottlingBurstLimit", 40,
                        "DetailedMetricsEnabled", true))));
  }

  @Test
  void shouldLogNeitherQueriesNorHeadersNorBodies() {
    String format =
        Synthesised.resources(api(HeadHost.LAMBDA), "AWS::ApiGatewayV2::Stage").values().stream()
            .findFirst()
            .orElseThrow()
            .path("Properties")
            .path("AccessLogSettings")
            .path("Format")
            .asText();

    assertTrue(format.contains("$context.routeKey"), format);
    assertFalse(format.contains("queryString"), format);
    assertFalse(format.contains("$context.path"), format);
    assertFalse(format.contains("header"), format);
  }

  @Test
  void shouldAnswerPagesOfTheSiteAlone() {
    api(HeadHost.LAMBDA)
        .hasResourceProperties(
            "AWS::ApiGatewayV2::Api",
            Match.objectLike(
                Map.of(
                    "CorsConfiguration",
                    Match.objectLike(
                        Map.of(
                            "AllowOrigins", List.of(Synthesised.ORIGIN),
                            "AllowCredentials", Match.absent(),
                            "ExposeHeaders", Match.arrayWith(List.of("Retry-After")))))));
  }

  /** Else a page that works with the local cloud does not work with the deployed one. */
  @ParameterizedTest
  @CsvSource({
    "AllowHeaders, micronaut.server.cors.configurations.all.allowed-headers",
    "ExposeHeaders, micronaut.server.cors.configurations.all.exposed-headers"
  })
  void shouldLetPagesSendAndReadTheHeadersThatTheFunctionsLet(String gateway, String functions)
      throws Exception {
    Properties properties = new Properties();
    try (InputStream stream =
        requireNonNull(ApiStackTest.class.getResourceAsStream("/application.properties"))) {
      properties.load(stream);
    }
    TreeSet<String> names = new TreeSet<>();
    Synthesised.resources(api(HeadHost.LAMBDA), "AWS::ApiGatewayV2::Api").values().stream()
        .map(api -> api.path("Properties").path("CorsConfiguration").path(gateway))
        .forEach(list -> list.forEach(name -> names.add(name.asText())));

    assertEquals(new TreeSet<>(List.of(properties.getProperty(functions).split(","))), names);
  }

  @Test
  void shouldAnswerNoPageBeforeTheSiteIsKnown() {
    Stacks stacks = Stacks.in(new App(), Synthesised.settings(Map.of("siteOrigin", "")));

    Template.fromStack(stacks.api())
        .hasResourceProperties(
            "AWS::ApiGatewayV2::Api",
            Match.objectLike(Map.of("CorsConfiguration", Match.absent())));
    Template.fromStack(stacks.storage())
        .allResourcesProperties(
            "AWS::S3::Bucket", Match.objectLike(Map.of("CorsConfiguration", Match.absent())));
  }

  @Test
  void shouldBeOpenUnlessAnIssuerIsNamed() {
    api(HeadHost.LAMBDA).resourceCountIs("AWS::ApiGatewayV2::Authorizer", 0);
  }

  @Test
  void shouldAskForTokensOfTheIssuerThatIsNamed() {
    Template template =
        Template.fromStack(
            Stacks.in(
                    new App(),
                    Synthesised.settings(
                        Map.of("jwtIssuer", "https://issuer.example", "jwtAudience", "split")))
                .api());

    template.hasResourceProperties(
        "AWS::ApiGatewayV2::Authorizer",
        Match.objectLike(
            Map.of(
                "AuthorizerType",
                "JWT",
                "JwtConfiguration",
                Map.of("Issuer", "https://issuer.example", "Audience", List.of("split")))));
    for (JsonNode route : routes(template)) {
      boolean open = route.path("RouteKey").asText().equals("GET /health");
      assertEquals(
          open ? "NONE" : "JWT", route.path("AuthorizationType").asText(), route::toString);
    }
  }

  @Test
  void shouldRunTheCatalogFromAZipAndTheHeadFromAnImage() {
    Template template = api(HeadHost.LAMBDA);
    template.hasResourceProperties(
        FUNCTION,
        Match.objectLike(
            Map.of(
                "Handler",
                ApiStack.HANDLER,
                "Runtime",
                "java25",
                "SnapStart",
                Map.of("ApplyOn", "PublishedVersions"))));
    template.hasResourceProperties(
        FUNCTION,
        Match.objectLike(
            Map.of(
                "PackageType",
                "Image",
                "Architectures",
                List.of("x86_64"),
                "ReservedConcurrentExecutions",
                10)));
  }

  @Test
  void shouldLetTheCatalogReadModelsAndShardsAndNothingElse() {
    assertEquals(
        List.of("logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject", "s3:ListBucket"),
        actions(api(HeadHost.LAMBDA), "Catalog"));
  }

  @Test
  void shouldLetTheHeadExchangeActivationsBesides() {
    assertEquals(
        List.of(
            "logs:CreateLogStream",
            "logs:PutLogEvents",
            "s3:GetObject",
            "s3:GetObject",
            "s3:ListBucket",
            "s3:PutObject"),
        actions(api(HeadHost.LAMBDA), "Head"));
  }

  @ParameterizedTest
  @EnumSource
  void shouldLetNobodyWriteWeights(HeadHost head) {
    Synthesised synthesised = Synthesised.with(head);
    for (Stack stack : synthesised.all()) {
      for (JsonNode policy : Synthesised.resources(synthesised.template(stack), POLICY).values()) {
        for (JsonNode statement : statements(policy)) {
          String text = statement.toString();
          boolean writes = text.contains("s3:Put") || text.contains("s3:Delete");
          assertFalse(writes && text.contains("Weights"), text);
        }
      }
    }
  }

  @Test
  void shouldKeepACpuHeadWhileGpusMaySleep() {
    Template template = api(HeadHost.ECS_GPU);
    template.hasResourceProperties(FUNCTION, Match.objectLike(Map.of("PackageType", "Image")));
    template.hasResourceProperties(
        "AWS::ApiGatewayV2::Integration", Match.objectLike(Map.of("ConnectionType", "VPC_LINK")));
  }

  @Test
  void shouldLeadToTheBalancerAloneWhereOneGpuAlwaysRuns() {
    Template template =
        Template.fromStack(
            Stacks.in(new App(), Synthesised.settings(Map.of("head", "ecs-gpu", "minGpus", "1")))
                .api());

    template.resourceCountIs("AWS::StepFunctions::StateMachine", 0);
    assertTrue(
        template
            .findResources(
                FUNCTION, Match.objectLike(Map.of("Properties", Map.of("PackageType", "Image"))))
            .isEmpty());
    template.hasResourceProperties(
        "AWS::ApiGatewayV2::Integration",
        Match.objectLike(Map.of("ConnectionType", "VPC_LINK", "IntegrationType", "HTTP_PROXY")));
  }

  private static Template api(HeadHost head) {
    return Synthesised.with(head).template("Api");
  }

  private static List<JsonNode> routes(Template template) {
    return Synthesised.resources(template, "AWS::ApiGatewayV2::Route").values().stream()
        .map(route -> route.path("Properties"))
        .toList();
  }

  private static List<String> actions(Template template, String function) {
    List<String> actions = new ArrayList<>();
    Synthesised.resources(template, POLICY)
        .forEach(
            (id, policy) -> {
              if (id.startsWith(function + "Role")) {
                statements(policy).forEach(statement -> addAll(actions, statement.path("Action")));
              }
            });
    actions.sort(null);
    return actions;
  }

  private static void addAll(List<String> texts, JsonNode oneOrSeveral) {
    if (oneOrSeveral.isTextual()) {
      texts.add(oneOrSeveral.asText());
    } else {
      oneOrSeveral.forEach(text -> texts.add(text.asText()));
    }
  }

  private static JsonNode statements(JsonNode policy) {
    return policy.path("Properties").path("PolicyDocument").path("Statement");
  }
}
