package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import software.amazon.awscdk.Duration;
import software.amazon.awscdk.Size;
import software.amazon.awscdk.Stack;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.services.ec2.InstanceType;
import software.amazon.awscdk.services.ec2.SecurityGroup;
import software.amazon.awscdk.services.ec2.Vpc;
import software.amazon.awscdk.services.lambda.Architecture;
import software.amazon.awscdk.services.lambda.CapacityProvider;
import software.amazon.awscdk.services.lambda.CapacityProviderFunctionOptions;
import software.amazon.awscdk.services.lambda.CfnFunction;
import software.amazon.awscdk.services.lambda.DockerImageFunction;
import software.amazon.awscdk.services.lambda.InstanceTypeFilter;
import software.amazon.awscdk.services.lambda.LatestPublishedScalingConfig;
import software.amazon.awscdk.services.lambda.ScalingOptions;
import software.constructs.Construct;

/** The head as a function on instances with a GPU that Lambda starts and stops. */
public final class LambdaGpuStack extends Stack {

  private static final int MEMORY_MEGABYTES = 12_288;
  private static final int DISK_MEBIBYTES = 10_240;
  private static final int GPU_MEMORY_GIB = 24;
  private static final int VCPUS_A_GPU = 4;
  private static final double MEMORY_GIB_A_VCPU = 4;
  // The head's own queue bounds them: one batch takes requests of many.
  private static final int REQUESTS_AT_ONCE = 64;

  private final Head.Function head;

  public LambdaGpuStack(
      Construct scope, String id, StackProps props, Settings settings, StorageStack storage) {
    super(scope, id, props);
    Vpc vpc = Networks.forGpus(this);
    CapacityProvider gpus =
        CapacityProvider.Builder.create(this, "Gpus")
            .subnets(vpc.getPrivateSubnets())
            .securityGroups(
                List.of(
                    SecurityGroup.Builder.create(this, "InstanceGroup")
                        .vpc(vpc)
                        .description("GPU instances of Lambda; nothing comes in")
                        .build()))
            .architectures(List.of(Architecture.X86_64))
            .instanceTypeFilter(
                InstanceTypeFilter.allow(List.of(new InstanceType(settings.gpuInstanceType()))))
            .maxVCpuCount(VCPUS_A_GPU * settings.maxGpus())
            .scalingOptions(ScalingOptions.auto())
            .build();
    DockerImageFunction function = function(settings, storage);
    gpus.addFunction(
        function,
        CapacityProviderFunctionOptions.builder()
            .perExecutionEnvironmentMaxConcurrency(REQUESTS_AT_ONCE)
            .executionEnvironmentMemoryGiBPerVCpu(MEMORY_GIB_A_VCPU)
            .publishToLatestPublished(true)
            .latestPublishedScalingConfig(
                LatestPublishedScalingConfig.builder()
                    .minExecutionEnvironments(Math.max(1, settings.minGpus()))
                    .maxExecutionEnvironments(settings.maxGpus())
                    .build())
            .build());
    Suppressions.on(
        gpus, "AwsSolutions-IAM4", "Lambda starts instances by its own managed policy alone");
    head = new Head.Function(function);
  }

  Head.Function head() {
    return head;
  }

  private DockerImageFunction function(Settings settings, StorageStack storage) {
    FunctionRole role = new FunctionRole(this, "Head");
    storage.letReadWeights(role.role());
    storage.letExchangeActivations(role.role());
    DockerImageFunction function =
        DockerImageFunction.Builder.create(this, "Head")
            .description("Tokenises, runs the head on a GPU and hands over activations")
            .code(HeadImage.GPU.lambda(this, settings))
            .architecture(Architecture.X86_64)
            .memorySize(MEMORY_MEGABYTES)
            .ephemeralStorageSize(Size.mebibytes(DISK_MEBIBYTES))
            .timeout(Duration.seconds(30))
            .environment(FunctionEnvironment.head(storage))
            .role(role.role())
            .logGroup(role.logs())
            .build();
    CfnFunction resource = (CfnFunction) function.getNode().getDefaultChild();
    // CDK's and cfn-lint's copies of the schema do not know this property yet.
    resource.addPropertyOverride("AcceleratorConfig.AcceleratorMemorySize", GPU_MEMORY_GIB);
    resource.addMetadata("cfn-lint", Map.of("config", Map.of("ignore_checks", List.of("E3002"))));
    return function;
  }
}
