package io.splitcompute.infra;

import java.util.List;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.applicationautoscaling.EnableScalingProps;
import software.amazon.awscdk.services.cloudwatch.Metric;
import software.amazon.awscdk.services.ec2.Peer;
import software.amazon.awscdk.services.ec2.Vpc;
import software.amazon.awscdk.services.ecs.AsgCapacityProvider;
import software.amazon.awscdk.services.ecs.CapacityProviderStrategy;
import software.amazon.awscdk.services.ecs.Cluster;
import software.amazon.awscdk.services.ecs.ContainerInsights;
import software.amazon.awscdk.services.ecs.DeploymentCircuitBreaker;
import software.amazon.awscdk.services.ecs.Ec2Service;
import software.amazon.awscdk.services.ecs.PropagatedTagSource;
import software.amazon.awscdk.services.ecs.ScalableTaskCount;
import software.amazon.awscdk.services.ecs.TrackCustomMetricProps;
import software.amazon.awscdk.services.elasticloadbalancingv2.AddApplicationTargetsProps;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationListener;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationLoadBalancer;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationProtocol;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationTargetGroup;
import software.amazon.awscdk.services.elasticloadbalancingv2.BaseApplicationListenerProps;
import software.amazon.awscdk.services.elasticloadbalancingv2.HealthCheck;
import software.constructs.Construct;

/**
 * The head in containers on GPU instances: a cluster whose capacity provider starts instances as
 * containers need them, a load balancer inside the network, and scaling on what waits.
 */
public final class GpuStack extends Stack {

  private static final int TARGET_REQUESTS = 16;
  private static final int TARGET_TOKENS = 16_384;
  // Longer than the gateway waits for an answer: what is under way ends.
  private static final Duration DRAINING = Duration.seconds(40);

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
            .containerInsightsV2(ContainerInsights.DISABLED)
            .build();
    Suppressions.on(
        cluster,
        "AwsSolutions-ECS4",
        "The heads report what is watched; insights cost by the metric and outlive the cluster");
    AsgCapacityProvider gpus = GpuInstances.in(this, vpc, cluster, settings);
    Ec2Service service = service(settings, storage, gpus);
    head = balanced(service);
    scale(settings, service);
  }

  Head.Balanced head() {
    return head;
  }

  private Ec2Service service(
      Settings settings, StorageStack storage, AsgCapacityProvider provider) {
    Ec2Service.Builder builder =
        Ec2Service.Builder.create(this, "Service")
            .cluster(cluster)
            .taskDefinition(new HeadTask(this, settings, storage).definition())
            .capacityProviderStrategies(
                List.of(
                    CapacityProviderStrategy.builder()
                        .capacityProvider(provider.getCapacityProviderName())
                        .weight(1)
                        .build()))
            .vpcSubnets(Networks.PRIVATE)
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

  private Head.Balanced balanced(Ec2Service service) {
    ApplicationLoadBalancer balancer =
        ApplicationLoadBalancer.Builder.create(this, "Balancer")
            .vpc(vpc)
            .vpcSubnets(Networks.PRIVATE)
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
                .port(HeadTask.PORT)
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
    track(count, "QueuedRequests", HeadMetrics.queuedRequests(), TARGET_REQUESTS);
    track(count, "QueuedTokens", HeadMetrics.queuedTokens(), TARGET_TOKENS);
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
}
