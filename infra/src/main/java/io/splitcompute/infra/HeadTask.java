package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.services.ecs.AwsLogDriverProps;
import software.amazon.awscdk.services.ecs.ContainerDefinition;
import software.amazon.awscdk.services.ecs.ContainerDefinitionOptions;
import software.amazon.awscdk.services.ecs.ContainerImage;
import software.amazon.awscdk.services.ecs.Ec2TaskDefinition;
import software.amazon.awscdk.services.ecs.Host;
import software.amazon.awscdk.services.ecs.LogDriver;
import software.amazon.awscdk.services.ecs.MountPoint;
import software.amazon.awscdk.services.ecs.NetworkMode;
import software.amazon.awscdk.services.ecs.PortMapping;
import software.amazon.awscdk.services.ecs.Volume;
import software.amazon.awscdk.services.iam.PolicyStatement;
import software.amazon.awscdk.services.logs.LogGroup;
import software.amazon.awscdk.services.logs.RetentionDays;

/** One head on a GPU, and beside it the agent that brings its metrics to CloudWatch. */
final class HeadTask {

  /** The port of the API. */
  static final int PORT = 8080;

  private static final int METRICS_PORT = 8081;
  // g6.xlarge has 16 GiB; the host's agents keep the rest.
  private static final int HEAD_MEMORY_MIB = 12_288;
  private static final int AGENT_MEMORY_MIB = 256;
  // Longer than the gateway waits for an answer: what is under way ends.
  private static final Duration STOPPING = Duration.seconds(45);
  private static final String AGENT_IMAGE =
      "public.ecr.aws/cloudwatch-agent/cloudwatch-agent:1.300062.0b1304";

  private final Stack stack;
  private final LogGroup logs;
  private final Ec2TaskDefinition task;

  HeadTask(Stack stack, Settings settings, StorageStack storage) {
    this.stack = stack;
    task =
        Ec2TaskDefinition.Builder.create(stack, "Task")
            .networkMode(NetworkMode.AWS_VPC)
            .volumes(List.of(Volume.builder().name("tmp").host(Host.builder().build()).build()))
            .build();
    storage.letReadWeights(task.getTaskRole());
    storage.letExchangeActivations(task.getTaskRole());
    logs =
        LogGroup.Builder.create(stack, "Logs")
            .retention(RetentionDays.ONE_MONTH)
            .removalPolicy(RemovalPolicy.DESTROY)
            .build();
    addHead(settings, storage);
    addAgent();
    Suppressions.on(
        task.getTaskRole(),
        "AwsSolutions-IAM5",
        "Keys below models/, shards/ and activations/ are many");
    Suppressions.on(
        task.obtainExecutionRole(),
        "AwsSolutions-IAM5",
        "A token for the registry is for no resource");
    Suppressions.on(task, "AwsSolutions-ECS2", "Names of buckets and ports are no secrets");
  }

  Ec2TaskDefinition definition() {
    return task;
  }

  private void addHead(Settings settings, StorageStack storage) {
    Map<String, String> environment = FunctionEnvironment.head(storage);
    environment.put("SPLITCOMPUTE_METRICS_PORT", Integer.toString(METRICS_PORT));
    ContainerDefinition container =
        task.addContainer(
            "Head",
            ContainerDefinitionOptions.builder()
                .image(HeadImage.GPU.container(stack, settings))
                .gpuCount(1)
                .memoryLimitMiB(HEAD_MEMORY_MIB)
                .environment(environment)
                .readonlyRootFilesystem(true)
                .stopTimeout(STOPPING)
                .portMappings(List.of(PortMapping.builder().containerPort(PORT).build()))
                .logging(logDriver("head"))
                .build());
    container.addMountPoints(
        MountPoint.builder().containerPath("/tmp").sourceVolume("tmp").readOnly(false).build());
  }

  /** Reads the head's metrics, which are on a port that no route leads to. */
  private void addAgent() {
    task.addContainer(
        "Agent",
        ContainerDefinitionOptions.builder()
            .image(ContainerImage.fromRegistry(AGENT_IMAGE))
            .essential(false)
            .memoryLimitMiB(AGENT_MEMORY_MIB)
            .environment(
                Map.of(
                    "PROMETHEUS_CONFIG_CONTENT", scrapeConfig(),
                    "CW_CONFIG_CONTENT", agentConfig()))
            .logging(logDriver("agent"))
            .build());
    task.addToTaskRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("logs:CreateLogStream", "logs:PutLogEvents"))
            .resources(List.of(logs.getLogGroupArn()))
            .build());
  }

  private LogDriver logDriver(String prefix) {
    return LogDriver.awsLogs(
        AwsLogDriverProps.builder().streamPrefix(prefix).logGroup(logs).build());
  }

  private static String scrapeConfig() {
    return """
        global:
          scrape_interval: 15s
        scrape_configs:
          - job_name: head
            metrics_path: /metrics
            static_configs:
              - targets: ["localhost:%d"]
                labels:
                  service: head
        """
        .formatted(METRICS_PORT);
  }

  private String agentConfig() {
    Map<String, Object> declaration =
        Map.of(
            "source_labels", List.of("job"),
            "label_matcher", "^head$",
            "dimensions", List.of(List.of(HeadMetrics.SERVICE)),
            "metric_selectors",
                List.of(
                    "^%s$".formatted(HeadMetrics.QUEUED_REQUESTS),
                    "^%s$".formatted(HeadMetrics.QUEUED_TOKENS),
                    "^%s$".formatted(HeadMetrics.DEVICE_SECONDS)));
    return stack.toJsonString(
        Map.of(
            "logs",
            Map.of(
                "metrics_collected",
                Map.of(
                    "prometheus",
                    Map.of(
                        "log_group_name",
                        logs.getLogGroupName(),
                        "prometheus_config_path",
                        "env:PROMETHEUS_CONFIG_CONTENT",
                        "emf_processor",
                        Map.of(
                            "metric_namespace",
                            HeadMetrics.NAMESPACE,
                            "metric_declaration",
                            List.of(declaration)))))));
  }
}
