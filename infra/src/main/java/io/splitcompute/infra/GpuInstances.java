package io.splitcompute.infra;

import java.util.List;
import software.amazon.awscdk.services.autoscaling.AutoScalingGroup;
import software.amazon.awscdk.services.autoscaling.GroupMetrics;
import software.amazon.awscdk.services.ec2.BlockDevice;
import software.amazon.awscdk.services.ec2.BlockDeviceVolume;
import software.amazon.awscdk.services.ec2.EbsDeviceOptions;
import software.amazon.awscdk.services.ec2.EbsDeviceVolumeType;
import software.amazon.awscdk.services.ec2.InstanceType;
import software.amazon.awscdk.services.ec2.LaunchTemplate;
import software.amazon.awscdk.services.ec2.SecurityGroup;
import software.amazon.awscdk.services.ec2.UserData;
import software.amazon.awscdk.services.ec2.Vpc;
import software.amazon.awscdk.services.ecs.AmiHardwareType;
import software.amazon.awscdk.services.ecs.AsgCapacityProvider;
import software.amazon.awscdk.services.ecs.Cluster;
import software.amazon.awscdk.services.ecs.EcsOptimizedImage;
import software.amazon.awscdk.services.iam.Role;
import software.amazon.awscdk.services.iam.ServicePrincipal;
import software.constructs.Construct;

/**
 * The hosts of GPU containers, which a cluster's capacity provider starts as containers need them.
 */
final class GpuInstances {

  private static final String ROLE = "InstanceRole";
  static final int DISK_GIB = 60;

  private GpuInstances() {}

  /** Adds them to a stack, for its cluster. */
  static AsgCapacityProvider in(Construct stack, Vpc vpc, Cluster cluster, Settings settings) {
    Role role =
        Role.Builder.create(stack, ROLE)
            .assumedBy(new ServicePrincipal("ec2.amazonaws.com"))
            .build();
    LaunchTemplate template =
        LaunchTemplate.Builder.create(stack, "Instance")
            .instanceType(new InstanceType(settings.gpuInstanceType()))
            .machineImage(EcsOptimizedImage.amazonLinux2023(AmiHardwareType.GPU))
            .securityGroup(
                SecurityGroup.Builder.create(stack, "InstanceGroup")
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
        AutoScalingGroup.Builder.create(stack, "Instances")
            .vpc(vpc)
            .vpcSubnets(Networks.PRIVATE)
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
    AsgCapacityProvider provider =
        AsgCapacityProvider.Builder.create(stack, "Gpus")
            .autoScalingGroup(group)
            .enableManagedScaling(true)
            .enableManagedTerminationProtection(true)
            .enableManagedDraining(true)
            .targetCapacityPercent(100)
            .build();
    cluster.addAsgCapacityProvider(provider);
    Suppressions.on(
        role, "AwsSolutions-IAM5", "The cluster's agent registers instances that have no name yet");
    return provider;
  }
}
