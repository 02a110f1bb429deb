package io.splitcompute.infra;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.services.apigatewayv2.CfnRoute;
import software.amazon.awscdk.services.apigatewayv2.HttpApi;
import software.amazon.awscdk.services.apigatewayv2.HttpRoute;
import software.amazon.awscdk.services.apigatewayv2.HttpStage;
import software.amazon.awscdk.services.cloudwatch.Alarm;
import software.amazon.awscdk.services.cloudwatch.ComparisonOperator;
import software.amazon.awscdk.services.cloudwatch.MetricOptions;
import software.amazon.awscdk.services.cloudwatch.TreatMissingData;
import software.amazon.awscdk.services.events.Rule;
import software.amazon.awscdk.services.events.Schedule;
import software.amazon.awscdk.services.events.targets.SfnStateMachine;
import software.amazon.awscdk.services.iam.PolicyStatement;
import software.amazon.awscdk.services.logs.LogGroup;
import software.amazon.awscdk.services.logs.RetentionDays;
import software.amazon.awscdk.services.stepfunctions.DefinitionBody;
import software.amazon.awscdk.services.stepfunctions.LogLevel;
import software.amazon.awscdk.services.stepfunctions.LogOptions;
import software.amazon.awscdk.services.stepfunctions.StateMachine;
import software.amazon.awscdk.services.stepfunctions.StateMachineType;
import software.constructs.Construct;

/**
 * Lets the GPU pool sleep. Once a minute a state machine, {@code pool-switch.asl.json}, compares
 * what is wanted with what is there and takes one step: it starts a container, leads the routes to
 * containers that are healthy, leads them back to the CPU head, or stops containers, this a minute
 * after the last request could have gone to them. A pool that fails is left at once, too.
 */
final class PoolSwitch extends Construct {

  /** Requests in five minutes that wake the pool. */
  static final int WAKING_REQUESTS = 20;

  /** The definition, a resource of this package. */
  static final String DEFINITION = "pool-switch.asl.json";

  private static final int QUIET_PERIODS = 3;

  private final StateMachine machine;

  PoolSwitch(
      Construct scope,
      String id,
      HttpApi api,
      HttpStage stage,
      List<HttpRoute> routes,
      String gpuIntegration,
      Head.Balanced head,
      int maxGpus) {
    super(scope, id);
    Alarm wanted =
        Alarm.Builder.create(this, "Wanted")
            .alarmDescription("Requests that are worth a GPU; it is no fault")
            .metric(
                stage.metricCount(
                    MetricOptions.builder().period(Duration.minutes(5)).statistic("Sum").build()))
            .threshold(WAKING_REQUESTS)
            .comparisonOperator(ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD)
            .evaluationPeriods(QUIET_PERIODS)
            .datapointsToAlarm(1)
            .treatMissingData(TreatMissingData.NOT_BREACHING)
            .build();
    String cpuIntegration = cpuIntegration(routes);
    Map<String, String> names = new LinkedHashMap<>();
    names.put("WantedAlarm", wanted.getAlarmName());
    names.put("TargetGroup", head.targets().getTargetGroupArn());
    names.put("Api", api.getApiId());
    names.put("GpuTarget", "integrations/" + gpuIntegration);
    names.put("CpuTarget", cpuIntegration);
    names.put(
        "Routes", routes.stream().map(HttpRoute::getRouteId).collect(Collectors.joining(" ")));
    names.put("Service", resourceId(head));
    names.put("MaxGpus", Integer.toString(maxGpus));
    LogGroup logs =
        LogGroup.Builder.create(this, "Logs")
            .retention(RetentionDays.ONE_WEEK)
            .removalPolicy(RemovalPolicy.DESTROY)
            .build();
    machine =
        StateMachine.Builder.create(this, "Machine")
            .stateMachineType(StateMachineType.EXPRESS)
            .definitionBody(DefinitionBody.fromString(definition()))
            .definitionSubstitutions(names)
            .timeout(Duration.seconds(50))
            .logs(LogOptions.builder().destination(logs).level(LogLevel.ALL).build())
            .tracingEnabled(true)
            .build();
    allow(api, routes, wanted);
    Rule.Builder.create(this, "EachMinute")
        .schedule(Schedule.rate(Duration.minutes(1)))
        .targets(List.of(new SfnStateMachine(machine)))
        .build();
  }

  StateMachine machine() {
    return machine;
  }

  /** The state machine's definition, with names in {@code ${}} that the deployment fills in. */
  static String definition() {
    try (InputStream in = PoolSwitch.class.getResourceAsStream(DEFINITION)) {
      if (in == null) {
        throw new IllegalStateException(DEFINITION + " is not on the class path");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException unreadable) {
      throw new UncheckedIOException(unreadable);
    }
  }

  private void allow(HttpApi api, List<HttpRoute> routes, Alarm wanted) {
    Stack stack = Stack.of(this);
    String apiArn =
        "arn:%s:apigateway:%s::/apis/%s/routes"
            .formatted(stack.getPartition(), stack.getRegion(), api.getApiId());
    machine.addToRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("cloudwatch:DescribeAlarms"))
            .resources(List.of(wanted.getAlarmArn()))
            .build());
    machine.addToRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("elasticloadbalancing:DescribeTargetHealth"))
            .resources(List.of("*"))
            .build());
    machine.addToRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("apigateway:GET"))
            .resources(List.of(apiArn))
            .build());
    machine.addToRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("apigateway:PATCH"))
            .resources(routes.stream().map(route -> apiArn + "/" + route.getRouteId()).toList())
            .build());
    machine.addToRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("application-autoscaling:RegisterScalableTarget"))
            .resources(
                List.of(
                    "arn:%s:application-autoscaling:%s:%s:scalable-target/*"
                        .formatted(stack.getPartition(), stack.getRegion(), stack.getAccount())))
            .conditions(
                Map.of("StringEquals", Map.of("application-autoscaling:service-namespace", "ecs")))
            .build());
    Suppressions.on(
        machine,
        "AwsSolutions-IAM5",
        "Target health and log delivery know no resource, and a scalable target's id is not known");
  }

  private static String resourceId(Head.Balanced head) {
    return "service/%s/%s"
        .formatted(head.service().getCluster().getClusterName(), head.service().getServiceName());
  }

  private static String cpuIntegration(List<HttpRoute> routes) {
    CfnRoute route = (CfnRoute) routes.get(0).getNode().getDefaultChild();
    return Objects.requireNonNull(Objects.requireNonNull(route).getTarget());
  }
}
