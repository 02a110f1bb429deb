package io.splitcompute.head.schedule;

import java.util.List;

/**
 * A model as the scheduler sees it.
 *
 * @param name for logs and metrics
 * @param replicas the model on each device, in the devices' order
 * @param rate how fast it runs; shared by the replicas
 */
public record ScheduledModel(String name, List<LayerStack> replicas, Rate rate) {
  public ScheduledModel {
    replicas = List.copyOf(replicas);
  }
}
