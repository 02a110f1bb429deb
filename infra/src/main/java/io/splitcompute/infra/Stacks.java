package io.splitcompute.infra;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import software.amazon.awscdk.App;
import software.amazon.awscdk.CfnResource;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.Tags;
import software.constructs.IConstruct;

/**
 * All stacks, by lifetime: storage outlives the functions, functions and GPUs outlive the site.
 *
 * @param gpu the GPU containers, or null where there are none
 */
record Stacks(
    StorageStack storage,
    @Nullable GpuStack gpu,
    ApiStack api,
    SiteStack site,
    ObservabilityStack observability) {

  /** The tag of all that is deployed. */
  static final String TAG = "project";

  static final String TAG_VALUE = "splitcompute";

  private static final String GPU = "SplitComputeGpu";

  /** Adds the stacks that the settings ask for to an application. */
  static Stacks in(App app, Settings settings) {
    StorageStack storage =
        new StorageStack(app, "SplitComputeStorage", props("Weights and activations"), settings);
    GpuStack gpu = null;
    Head head;
    switch (settings.head()) {
      case ECS_GPU -> {
        gpu = new GpuStack(app, GPU, props("The head on GPU containers"), settings, storage);
        head = gpu.head();
      }
      case LAMBDA_GPU ->
          head =
              new LambdaGpuStack(
                      app, GPU, props("The head on Lambda's GPU instances"), settings, storage)
                  .head();
      default -> head = new Head.OnCpus();
    }
    ApiStack api =
        new ApiStack(app, "SplitComputeApi", props("API, catalog, head"), settings, storage, head);
    SiteStack site =
        new SiteStack(app, "SplitComputeSite", props("Site and SDK"), settings, storage, api);
    ObservabilityStack observability =
        new ObservabilityStack(
            app,
            "SplitComputeObservability",
            props("Dashboard, alarms, budget"),
            settings,
            storage,
            api,
            head);
    tag(app);
    return new Stacks(storage, gpu, api, site, observability);
  }

  private static void tag(App app) {
    Tags.of(app).add(TAG, TAG_VALUE);
    // CDK's own functions are no constructs that take tags.
    for (IConstruct construct : app.getNode().findAll()) {
      if (construct.getNode().getId().startsWith("Custom::")) {
        for (String part : List.of("Role", "Handler")) {
          if (construct.getNode().tryFindChild(part) instanceof CfnResource resource) {
            resource.addPropertyOverride("Tags", List.of(Map.of("Key", TAG, "Value", TAG_VALUE)));
          }
        }
      }
    }
  }

  private static StackProps props(String description) {
    return StackProps.builder().description("SplitCompute: " + description).build();
  }
}
