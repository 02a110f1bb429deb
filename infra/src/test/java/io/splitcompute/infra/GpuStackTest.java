package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import software.amazon.awscdk.App;
import software.amazon.awscdk.assertions.Match;
import software.amazon.awscdk.assertions.Template;

/** What both kinds of GPU stacks promise, read off their templates. */
final class GpuStackTest {

  private static final String SERVICE = "AWS::ECS::Service";

  @Test
  void shouldRunTheHeadOnOneGpuWithAReadOnlyRoot() {
    containers()
        .hasResourceProperties(
            "AWS::ECS::TaskDefinition",
            Match.objectLike(
                Map.of(
                    "ContainerDefinitions",
                    Match.arrayWith(
                        List.of(
                            Match.objectLike(
                                Map.of(
                                    "Name",
                                    "Head",
                                    "ReadonlyRootFilesystem",
                                    true,
                                    "ResourceRequirements",
                                    List.of(Map.of("Type", "GPU", "Value", "1")))))))));
  }

  @Test
  void shouldStartInstancesAsContainersNeedThem() {
    containers()
        .hasResourceProperties(
            "AWS::ECS::CapacityProvider",
            Match.objectLike(
                Map.of(
                    "AutoScalingGroupProvider",
                    Match.objectLike(
                        Map.of("ManagedScaling", Match.objectLike(Map.of("Status", "ENABLED")))))));
    containers()
        .hasResourceProperties(
            "AWS::AutoScaling::AutoScalingGroup", Match.objectLike(Map.of("MinSize", "0")));
  }

  @Test
  void shouldBalanceInsideTheNetwork() {
    containers()
        .hasResourceProperties(
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            Match.objectLike(Map.of("Scheme", "internal")));
  }

  @Test
  void shouldFinishWhatIsUnderWayBeforeAContainerGoes() {
    containers()
        .hasResourceProperties(
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            Match.objectLike(
                Map.of(
                    "TargetGroupAttributes",
                    Match.arrayWith(
                        List.of(
                            Map.of(
                                "Key", "deregistration_delay.timeout_seconds",
                                "Value", "40"))))));
  }

  @Test
  void shouldScaleOnRequestsAndTokensThatWait() {
    for (String metric : List.of(HeadMetrics.QUEUED_REQUESTS, HeadMetrics.QUEUED_TOKENS)) {
      containers()
          .hasResourceProperties(
              "AWS::ApplicationAutoScaling::ScalingPolicy",
              Match.objectLike(
                  Map.of(
                      "TargetTrackingScalingPolicyConfiguration",
                      Match.objectLike(
                          Map.of(
                              "CustomizedMetricSpecification",
                              Match.objectLike(
                                  Map.of(
                                      "Namespace",
                                      HeadMetrics.NAMESPACE,
                                      "MetricName",
                                      metric)))))));
    }
    containers()
        .hasResourceProperties(
            "AWS::ApplicationAutoScaling::ScalableTarget",
            Match.objectLike(Map.of("MinCapacity", 0, "MaxCapacity", 4)));
  }

  @Test
  void shouldNotCountContainersWhereTheSwitchDoes() {
    containers()
        .hasResourceProperties(SERVICE, Match.objectLike(Map.of("DesiredCount", Match.absent())));
  }

  @Test
  void shouldKeepAsManyContainersAsAreAskedFor() {
    GpuStack gpu =
        Stacks.in(
                new App(),
                Synthesised.settings(Map.of("head", "ecs-gpu", "minGpus", "2", "maxGpus", "6")))
            .gpu();

    Template template = Template.fromStack(Objects.requireNonNull(gpu));
    template.hasResourceProperties(SERVICE, Match.objectLike(Map.of("DesiredCount", 2)));
    template.hasResourceProperties(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        Match.objectLike(Map.of("MinCapacity", 2, "MaxCapacity", 6)));
  }

  @Test
  void shouldGiveAFunctionOnManagedInstancesAnAccelerator() {
    Template template = Synthesised.with(HeadHost.LAMBDA_GPU).template("Gpu");
    template.hasResourceProperties(
        "AWS::Lambda::Function",
        Match.objectLike(
            Map.of(
                "PackageType",
                "Image",
                "Architectures",
                List.of("x86_64"),
                "AcceleratorConfig",
                Map.of("AcceleratorMemorySize", 24),
                "CapacityProviderConfig",
                Match.anyValue())));
    template.hasResource(
        "AWS::Lambda::Function",
        Match.objectLike(
            Map.of(
                "Metadata",
                Match.objectLike(
                    Map.of(
                        "cfn-lint",
                        Map.of("config", Map.of("ignore_checks", List.of("E3002"))))))));
  }

  private static Template containers() {
    return Synthesised.with(HeadHost.ECS_GPU).template("Gpu");
  }
}
