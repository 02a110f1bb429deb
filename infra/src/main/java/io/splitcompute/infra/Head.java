package io.splitcompute.infra;

import software.amazon.awscdk.services.ec2.IVpc;
import software.amazon.awscdk.services.ecs.Ec2Service;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationListener;
import software.amazon.awscdk.services.elasticloadbalancingv2.ApplicationTargetGroup;
import software.amazon.awscdk.services.lambda.IFunction;

/** What the API's routes to the head lead to. */
sealed interface Head {

  /** The API's own function on CPUs. */
  record OnCpus() implements Head {}

  /** A function, as Lambda on managed instances is. */
  record Function(IFunction function) implements Head {}

  /** A load balancer inside a network, with the containers behind it. */
  record Balanced(
      IVpc vpc, ApplicationListener listener, ApplicationTargetGroup targets, Ec2Service service)
      implements Head {}
}
