package io.splitcompute.infra;

import org.jspecify.annotations.Nullable;
import software.amazon.awscdk.App;
import software.amazon.awscdk.StackProps;
import software.amazon.awscdk.Tags;

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
    Tags.of(app).add(TAG, TAG_VALUE);
    CdkFunctions.tag(app, TAG, TAG_VALUE);
    CdkFunctions.log(app);
    return new Stacks(storage, gpu, api, site, observability);
  }

  private static StackProps props(String description) {
    return StackProps.builder().description("SplitCompute: " + description).build();
  }
}
