package io.splitcompute.infra;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import software.amazon.awscdk.CfnOutput;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Size;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.aws_apigatewayv2_authorizers.HttpJwtAuthorizer;
import software.amazon.awscdk.aws_apigatewayv2_integrations.HttpAlbIntegration;
import software.amazon.awscdk.aws_apigatewayv2_integrations.HttpLambdaIntegration;
import software.amazon.awscdk.services.apigatewayv2.AddRoutesOptions;
import software.amazon.awscdk.services.apigatewayv2.CfnIntegration;
import software.amazon.awscdk.services.apigatewayv2.CfnStage;
import software.amazon.awscdk.services.apigatewayv2.CorsHttpMethod;
import software.amazon.awscdk.services.apigatewayv2.CorsPreflightOptions;
import software.amazon.awscdk.services.apigatewayv2.HttpApi;
import software.amazon.awscdk.services.apigatewayv2.HttpRoute;
import software.amazon.awscdk.services.apigatewayv2.HttpRouteIntegration;
import software.amazon.awscdk.services.apigatewayv2.HttpStage;
import software.amazon.awscdk.services.apigatewayv2.IHttpRouteAuthorizer;
import software.amazon.awscdk.services.apigatewayv2.PayloadFormatVersion;
import software.amazon.awscdk.services.apigatewayv2.ThrottleSettings;
import software.amazon.awscdk.services.apigatewayv2.VpcLink;
import software.amazon.awscdk.services.ec2.SecurityGroup;
import software.amazon.awscdk.services.lambda.Alias;
import software.amazon.awscdk.services.lambda.Architecture;
import software.amazon.awscdk.services.lambda.Code;
import software.amazon.awscdk.services.lambda.DockerImageFunction;
import software.amazon.awscdk.services.lambda.Function;
import software.amazon.awscdk.services.lambda.IFunction;
import software.amazon.awscdk.services.lambda.Runtime;
import software.amazon.awscdk.services.lambda.SnapStartConf;
import software.amazon.awscdk.services.logs.LogGroup;
import software.amazon.awscdk.services.logs.RetentionDays;
import software.constructs.Construct;

/**
 * The HTTP API and the functions that are always there: the catalog, and the head on CPUs, which
 * answers everything, or answers while no GPU is awake.
 */
public final class ApiStack extends Stack {

  /** Micronaut's handler of HTTP API events. */
  static final String HANDLER =
      "io.micronaut.function.aws.proxy.payload2.APIGatewayV2HTTPEventFunction";

  /** Where the build puts the catalog and what it needs, as {@code lib/*.jar}. */
  static final String CATALOG_FOLDER = "functions/catalog/target/lambda";

  static final int CATALOG_MEGABYTES = 1024;
  // 1.7 CPUs, and the most that a new account may have.
  static final int HEAD_MEGABYTES = 3008;
  private static final int HEAD_DISK_MEBIBYTES = 4096;
  private static final Duration GATEWAY_LIMIT = Duration.seconds(30);
  // Without query strings and headers, in which secrets travel, and without bodies.
  private static final String ACCESS_LOG_FORMAT =
      Stream.of(
              "requestTime",
              "requestId",
              "identity.sourceIp",
              "routeKey",
              "status",
              "protocol",
              "responseLength",
              "responseLatency",
              "error.messageString",
              "integrationErrorMessage")
          .map(field -> "\"%s\":\"$context.%s\"".formatted(field, field))
          .collect(Collectors.joining(",", "{", "}"));

  /** What a page's requests may carry: the SDK's headers, and those that OpenAI's client adds. */
  private static final List<String> ALLOWED_HEADERS =
      List.of(
          "Content-Type",
          "Accept",
          "Authorization",
          "Range",
          "User-Agent",
          "OpenAI-Organization",
          "OpenAI-Project",
          "X-Stainless-Arch",
          "X-Stainless-Helper-Method",
          "X-Stainless-Lang",
          "X-Stainless-OS",
          "X-Stainless-Package-Version",
          "X-Stainless-Retry-Count",
          "X-Stainless-Runtime",
          "X-Stainless-Runtime-Version",
          "X-Stainless-Timeout");

  private static final List<String> EXPOSED_HEADERS =
      List.of("Retry-After", "X-Request-Id", "ETag", "Content-Range", "Location");

  private final HttpApi api;
  private final HttpStage stage;
  private final Function catalog;
  private final @Nullable DockerImageFunction cpuHead;
  private final @Nullable PoolSwitch poolSwitch;

  /**
   * @param head where the routes to the head lead
   */
  public ApiStack(
      Construct scope,
      String id,
      StackProps props,
      Settings settings,
      StorageStack storage,
      Head head) {
    super(scope, id, props);
    catalog = catalog(settings, storage);
    Alias catalogAlias =
        Alias.Builder.create(this, "CatalogLive")
            .aliasName("live")
            .version(catalog.getCurrentVersion())
            .build();
    // A pool that may sleep needs somebody who answers meanwhile.
    Head.@Nullable Balanced sleeper =
        head instanceof Head.Balanced balanced && settings.minGpus() == 0 ? balanced : null;
    cpuHead = head instanceof Head.OnCpus || sleeper != null ? cpuHead(settings, storage) : null;
    api = api(settings);
    stage = stage(settings);
    List<HttpRoute> headRoutes =
        addRoutes(settings, toFunction("Catalog", catalogAlias), integration(head));
    poolSwitch = sleeper == null ? null : poolSwitch(settings, sleeper, headRoutes);
    CfnOutput.Builder.create(this, "Endpoint").value(api.getApiEndpoint()).build();
  }

  HttpApi api() {
    return api;
  }

  HttpStage stage() {
    return stage;
  }

  Function catalog() {
    return catalog;
  }

  Optional<DockerImageFunction> cpuHead() {
    return Optional.ofNullable(cpuHead);
  }

  Optional<PoolSwitch> poolSwitch() {
    return Optional.ofNullable(poolSwitch);
  }

  private Function catalog(Settings settings, StorageStack storage) {
    FunctionRole role = new FunctionRole(this, "Catalog");
    storage.letReadWeights(role.role());
    return Function.Builder.create(this, "Catalog")
        .description("Models, manifests and presigned shard URLs")
        .runtime(Runtime.JAVA_25)
        .architecture(Architecture.ARM_64)
        .handler(HANDLER)
        .code(Code.fromAsset(settings.project().resolve(CATALOG_FOLDER).toString()))
        .memorySize(CATALOG_MEGABYTES)
        .timeout(GATEWAY_LIMIT)
        .environment(FunctionEnvironment.catalog(storage))
        .snapStart(SnapStartConf.ON_PUBLISHED_VERSIONS)
        .role(role.role())
        .logGroup(role.logs())
        .build();
  }

  private DockerImageFunction cpuHead(Settings settings, StorageStack storage) {
    FunctionRole role = new FunctionRole(this, "Head");
    storage.letReadWeights(role.role());
    storage.letExchangeActivations(role.role());
    return DockerImageFunction.Builder.create(this, "Head")
        .description("Tokenises, runs the head and hands over activations")
        .code(HeadImage.CPU.lambda(this, settings))
        .architecture(Architecture.X86_64)
        .memorySize(HEAD_MEGABYTES)
        .ephemeralStorageSize(Size.mebibytes(HEAD_DISK_MEBIBYTES))
        .timeout(GATEWAY_LIMIT)
        .reservedConcurrentExecutions(settings.headConcurrency())
        .environment(FunctionEnvironment.head(storage))
        .role(role.role())
        .logGroup(role.logs())
        .build();
  }

  private HttpApi api(Settings settings) {
    HttpApi.Builder builder =
        HttpApi.Builder.create(this, "Api").apiName("splitcompute").createDefaultStage(false);
    settings
        .siteOrigin()
        .ifPresent(
            origin ->
                builder.corsPreflight(
                    CorsPreflightOptions.builder()
                        .allowOrigins(List.of(origin))
                        .allowMethods(
                            List.of(CorsHttpMethod.GET, CorsHttpMethod.POST, CorsHttpMethod.DELETE))
                        .allowHeaders(ALLOWED_HEADERS)
                        .exposeHeaders(EXPOSED_HEADERS)
                        .maxAge(Duration.hours(1))
                        .build()));
    return builder.build();
  }

  private HttpStage stage(Settings settings) {
    HttpStage stage =
        HttpStage.Builder.create(this, "Stage")
            .httpApi(api)
            .stageName("$default")
            .autoDeploy(true)
            .detailedMetricsEnabled(true)
            .throttle(
                ThrottleSettings.builder()
                    .rateLimit(settings.requestsPerSecond())
                    .burstLimit(settings.burst())
                    .build())
            .build();
    LogGroup logs =
        LogGroup.Builder.create(this, "AccessLogs")
            .retention(RetentionDays.ONE_MONTH)
            .removalPolicy(RemovalPolicy.DESTROY)
            .build();
    CfnStage resource = (CfnStage) stage.getNode().getDefaultChild();
    resource.setAccessLogSettings(
        CfnStage.AccessLogSettingsProperty.builder()
            .destinationArn(logs.getLogGroupArn())
            .format(ACCESS_LOG_FORMAT)
            .build());
    return stage;
  }

  private List<HttpRoute> addRoutes(
      Settings settings, HttpRouteIntegration toCatalog, HttpRouteIntegration toHead) {
    Optional<IHttpRouteAuthorizer> authorizer =
        settings
            .jwtIssuer()
            .map(
                issuer ->
                    HttpJwtAuthorizer.Builder.create("Tokens", issuer)
                        .jwtAudience(settings.jwtAudience().stream().toList())
                        .build());
    List<HttpRoute> headRoutes = new ArrayList<>();
    for (Route route : Route.ALL) {
      boolean head = route.function() == Route.Function.HEAD;
      AddRoutesOptions.Builder options =
          AddRoutesOptions.builder()
              .path(route.path())
              .methods(List.of(route.method()))
              .integration(head ? toHead : toCatalog);
      if (!route.open()) {
        authorizer.ifPresent(options::authorizer);
      }
      List<HttpRoute> added = api.addRoutes(options.build());
      if (head) {
        headRoutes.addAll(added);
      }
    }
    if (authorizer.isEmpty()) {
      Suppressions.on(
          api,
          "AwsSolutions-APIG4",
          "The API of a public site is open; jwtIssuer and jwtAudience close it");
    } else {
      Suppressions.on(api, "AwsSolutions-APIG4", "Health is open, for monitors without a token");
    }
    return List.copyOf(headRoutes);
  }

  private HttpRouteIntegration integration(Head head) {
    if (cpuHead != null) {
      return toFunction("Head", cpuHead);
    }
    if (head instanceof Head.Function managed) {
      return toFunction("Head", managed.function());
    }
    if (head instanceof Head.Balanced balanced) {
      return toBalancer(balanced);
    }
    throw new IllegalStateException("the head on CPUs has no function");
  }

  private static HttpRouteIntegration toFunction(String id, IFunction function) {
    return HttpLambdaIntegration.Builder.create(id, function)
        .payloadFormatVersion(PayloadFormatVersion.VERSION_2_0)
        .build();
  }

  private HttpRouteIntegration toBalancer(Head.Balanced head) {
    return HttpAlbIntegration.Builder.create("Head", head.listener())
        .vpcLink(vpcLink(head))
        .build();
  }

  private VpcLink vpcLink(Head.Balanced head) {
    SecurityGroup group =
        SecurityGroup.Builder.create(this, "LinkGroup")
            .vpc(head.vpc())
            .description("From the API to the load balancer")
            .allowAllOutbound(true)
            .build();
    return VpcLink.Builder.create(this, "Link")
        .vpc(head.vpc())
        .securityGroups(List.of(group))
        .build();
  }

  private PoolSwitch poolSwitch(Settings settings, Head.Balanced head, List<HttpRoute> routes) {
    CfnIntegration toGpus =
        CfnIntegration.Builder.create(this, "Gpus")
            .apiId(api.getApiId())
            .integrationType("HTTP_PROXY")
            .integrationMethod("ANY")
            .connectionType("VPC_LINK")
            .connectionId(vpcLink(head).getVpcLinkId())
            .integrationUri(head.listener().getListenerArn())
            .payloadFormatVersion("1.0")
            .build();
    return new PoolSwitch(
        this, "PoolSwitch", api, stage, routes, toGpus.getRef(), head, settings.maxGpus());
  }
}
