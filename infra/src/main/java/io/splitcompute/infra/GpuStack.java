package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.RemovalPolicy;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.applicationautoscaling.EnableScalingProps;
import software.amazon.awscdk.services.autoscaling.AutoScalingGroup;
import software.amazon.awscdk.services.autoscaling.GroupMetrics;
import software.amazon.awscdk.services.cloudwatch.Metric;
import software.amazon.awscdk.services.ec2.BlockDevice;
import software.amazon.awscdk.services.ec2.BlockDeviceVolume;
import software.amazon.awscdk.services.ec2.EbsDeviceOptions;
import software.amazon.awscdk.services.ec2.EbsDeviceVolumeType;
import software.amazon.awscdk.services.ec2.InstanceType;
import software.amazon.awscdk.services.ec2.LaunchTemplate;
import software.amazon.awscdk.services.ec2.Peer;
import software.amazon.awscdk.services.ec2.SecurityGroup;
import software.amazon.awscdk.services.ec2.SubnetSelection;
import software.amazon.awscdk.services.ec2.SubnetType;
import software.amazon.awscdk.services.ec2.UserData;
import software.amazon.awscdk.services.ec2.Vpc;
import software.amazon.awscdk.services.ecs.AmiHardwareType;
import software.amazon.awscdk.services.ecs.AsgCapacityProvider;
import software.amazon.awscdk.services.ecs.AwsLogDriverProps;
import software.amazon.awscdk.services.ecs.CapacityProviderStrategy;
import software.amazon.awscdk.services.ecs.Cluster;
import software.amazon.awscdk.services.ecs.ContainerDefinition;
import software.amazon.awscdk.services.ecs.ContainerDefinitionOptions;
import software.amazon.awscdk.services.ecs.ContainerImage;
import software.amazon.awscdk.services.ecs.ContainerInsights;
import software.amazon.awscdk.services.ecs.DeploymentCircuitBreaker;
import software.amazon.awscdk.services.ecs.Ec2Service;
import software.amazon.awscdk.services.ecs.Ec2TaskDefinition;
import software.amazon.awscdk.services.ecs.EcsOptimizedImage;
import software.amazon.awscdk.services.ecs.Host;
import software.amazon.awscdk.services.ecs.LogDriver;
import software.amazon.awscdk.services.ecs.MountPoint;
import software.amazon.awscdk.services.ecs.NetworkMode;
import software.amazon.awscdk.services.ecs.PortMapping;
import software.amazon.awscdk.services.ecs.PropagatedTagSource;
import software.amazon.awscdk.services.ecs.ScalableTaskCount;
import software.amazon.awscdk.services.ecs.TrackCustomMetricProps;
import software.amazon.awscdk.services.ecs.Volume;
import software.amazon.awscdk.services.elasticloadbalancingv2.AddApplicationTargetsProps;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationListener;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationLoadBalancer;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationProtocol;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationTargetGroup;
import software.amazon.awscdk.services.elasticloadbalancingv2.BaseApplicationListenerProps;
import software.amazon.awscdk.services.elasticloadbalancingv2.HealthCheck;
import software.amazon.awscdk.services.iam.PolicyStatement;
import software.amazon.awscdk.services.iam.Role;
import software.amazon.awscdk.services.iam.ServicePrincipal;
import software.amazon.awscdk.services.logs.LogGroup;
import software.amazon.awscdk.services.logs.RetentionDays;
import software.constructs.Construct;

/**
 * The head in containers on GPU instances: a cluster whose capacity provider starts instances as
 * containers need them, a load balancer inside the network, and scaling on what waits.
 */
public final class GpuStack extends Stack {

  /** The namespace that the head's metrics come under. */
  static final String METRICS = "SplitCompute";

  static final String QUEUED_REQUESTS = "splitcompute_queue_requests";
  static final String QUEUED_TOKENS = "splitcompute_queue_tokens";
  static final String DEVICE_SECONDS = "splitcompute_device_busy_seconds_sum";

  private static final String INSTANCE_ROLE = "InstanceRole";
  private static final int PORT = 8080;
  private static final int METRICS_PORT = 8081;
  // g6.xlarge has 16 GiB; the host's agents keep the rest.
  private static final int HEAD_MEMORY_MIB = 12_288;
  private static final int AGENT_MEMORY_MIB = 256;
  private static final int DISK_GIB = 60;
  private static final int TARGET_REQUESTS = 16;
  private static final int TARGET_TOKENS = 16_384;
  // Longer than the gateway waits for an answer: what is under way ends.
  private static final Duration DRAINING = Duration.seconds(40);
  private static final Duration STOPPING = Duration.seconds(45);
  private static final String AGENT_IMAGE =
      "public.ecr.aws/cloudwatch-agent/cloudwatch-agent:1.300062.0b1304";
  private static final SubnetSelection PRIVATE =
      SubnetSelection.builder().subnetType(SubnetType.PRIVATE_WITH_EGRESS).build();

  private final Vpc vpc;
  private final Cluster cluster;
  private final Head.Balanced head;

  public GpuStack(
      Construct scope, String id, StackProps props, Settings settings, StorageStack storage) {
    super(scope, id, props);
    vpc = Networks.forGpus(this);
    cluster =
        Cluster.Builder.create(this, "Cluster")
            .vpc(vpc)
            .containerInsightsV2(ContainerInsights.ENHANCED)
            .build();
    AsgCapacityProvider gpus = gpus(settings);
    cluster.addAsgCapacityProvider(gpus);
    Suppressions.on(
        getNode().findChild(INSTANCE_ROLE),
        "AwsSolutions-IAM5",
        "The cluster's agent registers instances that have no name yet");
    Ec2Service service = service(settings, storage, gpus);
    head = balanced(service);
    scale(settings, service);
  }

  Head.Balanced head() {
    return head;
  }

  Metric queuedRequests() {
    return metric(QUEUED_REQUESTS, "Average");
  }

  Metric queuedTokens() {
    return metric(QUEUED_TOKENS, "Average");
  }

  /** Seconds that the GPUs worked, over all containers. */
  Metric deviceSeconds() {
    return metric(DEVICE_SECONDS, "Sum");
  }

  private AsgCapacityProvider gpus(Settings settings) {
    Role role =
        Role.Builder.create(this, INSTANCE_ROLE)
            .assumedBy(new ServicePrincipal("ec2.amazonaws.com"))
            .build();
    LaunchTemplate template =
        LaunchTemplate.Builder.create(this, "Instance")
            .instanceType(new InstanceType(settings.gpuInstanceType()))
            .machineImage(EcsOptimizedImage.amazonLinux2023(AmiHardwareType.GPU))
            .securityGroup(
                SecurityGroup.Builder.create(this, "InstanceGroup")
                    .vpc(vpc)
                    .description("Hosts of GPU containers; nothing comes in")
                    .build())
            .role(role)
            .userData(UserData.forLinux())
            .requireImdsv2(true)
            .httpPutResponseHopLimit(1)
            .detailedMonitoring(true)
            .blockDevices(
                List.of(
                    BlockDevice.builder()
                        .deviceName("/dev/xvda")
                        .volume(
                            BlockDeviceVolume.ebs(
                                DISK_GIB,
                                EbsDeviceOptions.builder()
                                    .volumeType(EbsDeviceVolumeType.GP3)
                                    .encrypted(true)
                                    .build()))
                        .build()))
            .build();
    AutoScalingGroup group =
        AutoScalingGroup.Builder.create(this, "Instances")
            .vpc(vpc)
            .vpcSubnets(PRIVATE)
            .launchTemplate(template)
            .minCapacity(0)
            // One more than containers, so that a new version starts beside the old one.
            .maxCapacity(settings.maxGpus() + 1)
            .newInstancesProtectedFromScaleIn(true)
            .groupMetrics(List.of(GroupMetrics.all()))
            .build();
    Suppressions.on(
        group,
        "AwsSolutions-AS3",
        "Instances come and go with the load; the service's alarms tell what matters");
    return AsgCapacityProvider.Builder.create(this, "Gpus")
        .autoScalingGroup(group)
        .enableManagedScaling(true)
        .enableManagedTerminationProtection(true)
        .enableManagedDraining(true)
        .targetCapacityPercent(100)
        .build();
  }

  private Ec2Service service(
      Settings settings, StorageStack storage, AsgCapacityProvider provider) {
    Ec2TaskDefinition task =
        Ec2TaskDefinition.Builder.create(this, "Task")
            .networkMode(NetworkMode.AWS_VPC)
            .volumes(List.of(Volume.builder().name("tmp").host(Host.builder().build()).build()))
            .build();
    storage.letReadWeights(task.getTaskRole());
    storage.letExchangeActivations(task.getTaskRole());
    LogGroup logs =
        LogGroup.Builder.create(this, "Logs")
            .retention(RetentionDays.ONE_MONTH)
            .removalPolicy(RemovalPolicy.DESTROY)
            .build();
    addHead(task, settings, storage, logs);
    addAgent(task, logs);
    Suppressions.on(
        task.getTaskRole(),
        "AwsSolutions-IAM5",
        "Keys below models/, shards/ and activations/ are many");
    Suppressions.on(
        task.obtainExecutionRole(),
        "AwsSolutions-IAM5",
        "A token for the registry is for no resource");
    Suppressions.on(task, "AwsSolutions-ECS2", "Names of buckets and ports are no secrets");
    Ec2Service.Builder builder =
        Ec2Service.Builder.create(this, "Service")
            .cluster(cluster)
            .taskDefinition(task)
            .capacityProviderStrategies(
                List.of(
                    CapacityProviderStrategy.builder()
                        .capacityProvider(provider.getCapacityProviderName())
                        .weight(1)
                        .build()))
            .vpcSubnets(PRIVATE)
            .minHealthyPercent(100)
            .maxHealthyPercent(200)
            .healthCheckGracePeriod(Duration.minutes(5))
            .circuitBreaker(DeploymentCircuitBreaker.builder().rollback(true).build())
            .propagateTags(PropagatedTagSource.SERVICE);
    if (settings.minGpus() > 0) {
      builder.desiredCount(settings.minGpus());
    }
    // Else ECS starts one at the first deployment, which proves the image, and the pool's switch
    // counts from then on: a number here would be put back by every later deployment.
    return builder.build();
  }

  private void addHead(
      Ec2TaskDefinition task, Settings settings, StorageStack storage, LogGroup logs) {
    Map<String, String> environment = FunctionEnvironment.head(storage);
    environment.put("SPLITCOMPUTE_METRICS_PORT", Integer.toString(METRICS_PORT));
    ContainerDefinition container =
        task.addContainer(
            "Head",
            ContainerDefinitionOptions.builder()
                .image(HeadImage.GPU.container(this, settings))
                .gpuCount(1)
                .memoryLimitMiB(HEAD_MEMORY_MIB)
                .environment(environment)
                .readonlyRootFilesystem(true)
                .stopTimeout(STOPPING)
                .portMappings(List.of(PortMapping.builder().containerPort(PORT).build()))
                .logging(logDriver("head", logs))
                .build());
    container.addMountPoints(
        MountPoint.builder().containerPath("/tmp").sourceVolume("tmp").readOnly(false).build());
  }

  /** Reads the head's metrics, which are on a port that no route leads to. */
  private void addAgent(Ec2TaskDefinition task, LogGroup logs) {
    task.addContainer(
        "Agent",
        ContainerDefinitionOptions.builder()
            .image(ContainerImage.fromRegistry(AGENT_IMAGE))
            .essential(false)
            .memoryLimitMiB(AGENT_MEMORY_MIB)
            .environment(
                Map.of(
                    "PROMETHEUS_CONFIG_CONTENT", scrapeConfig(),
                    "CW_CONFIG_CONTENT", agentConfig(logs)))
            .logging(logDriver("agent", logs))
            .build());
    task.addToTaskRolePolicy(
        PolicyStatement.Builder.create()
            .actions(List.of("logs:CreateLogStream", "logs:PutLogEvents"))
            .resources(List.of(logs.getLogGroupArn()))
            .build());
  }

  private static LogDriver logDriver(String prefix, LogGroup logs) {
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

  private String agentConfig(LogGroup logs) {
    Map<String, Object> declaration =
        Map.of(
            "source_labels", List.of("job"),
            "label_matcher", "^head$",
            "dimensions", List.of(List.of("service")),
            "metric_selectors",
                List.of(
                    "^%s$".formatted(QUEUED_REQUESTS),
                    "^%s$".formatted(QUEUED_TOKENS),
                    "^%s$".formatted(DEVICE_SECONDS)));
    return toJsonString(
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
                            METRICS,
                            "metric_declaration",
                            List.of(declaration)))))));
  }

  private Head.Balanced balanced(Ec2Service service) {
    ApplicationLoadBalancer balancer =
        ApplicationLoadBalancer.Builder.create(this, "Balancer")
            .vpc(vpc)
            .vpcSubnets(PRIVATE)
            .internetFacing(false)
            .dropInvalidHeaderFields(true)
            .deletionProtection(false)
            .build();
    ApplicationListener listener =
        balancer.addListener(
            "Http",
            BaseApplicationListenerProps.builder()
                .port(80)
                .protocol(ApplicationProtocol.HTTP)
                .open(false)
                .build());
    ApplicationTargetGroup targets =
        listener.addTargets(
            "Heads",
            AddApplicationTargetsProps.builder()
                .port(PORT)
                .protocol(ApplicationProtocol.HTTP)
                .targets(List.of(service))
                .deregistrationDelay(DRAINING)
                .healthCheck(
                    HealthCheck.builder()
                        .path("/health")
                        .interval(Duration.seconds(10))
                        .timeout(Duration.seconds(5))
                        .healthyThresholdCount(2)
                        .unhealthyThresholdCount(3)
                        .build())
                .build());
    listener.getConnections().allowDefaultPortFrom(Peer.ipv4(vpc.getVpcCidrBlock()));
    Suppressions.on(
        balancer,
        "AwsSolutions-ELB2",
        "The gateway in front of it logs every request, without query strings");
    Suppressions.on(balancer, "AwsSolutions-EC23", "Open to the network's own addresses alone");
    return new Head.Balanced(vpc, listener, targets, service);
  }

  private void scale(Settings settings, Ec2Service service) {
    ScalableTaskCount count =
        service.autoScaleTaskCount(
            EnableScalingProps.builder()
                .minCapacity(settings.minGpus())
                .maxCapacity(settings.maxGpus())
                .build());
    track(count, "QueuedRequests", queuedRequests(), TARGET_REQUESTS);
    track(count, "QueuedTokens", queuedTokens(), TARGET_TOKENS);
  }

  private static void track(ScalableTaskCount count, String id, Metric metric, int target) {
    count.scaleToTrackCustomMetric(
        id,
        TrackCustomMetricProps.builder()
            .metric(metric)
            .targetValue(target)
            .scaleOutCooldown(Duration.minutes(1))
            .scaleInCooldown(Duration.minutes(10))
            .build());
  }

  private static Metric metric(String name, String statistic) {
    return Metric.Builder.create()
        .namespace(METRICS)
        .metricName(name)
        .dimensionsMap(Map.of("service", "head"))
        .statistic(statistic)
        .period(Duration.minutes(1))
        .build();
  }
}
