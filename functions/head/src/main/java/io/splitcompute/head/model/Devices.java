package io.splitcompute.head.model;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micronaut.context.annotation.Bean;
import io.micronaut.context.annotation.Factory;
import io.splitcompute.head.schedule.BatchLimits;
import io.splitcompute.head.schedule.Scheduler;
import jakarta.inject.Singleton;
import java.util.List;

/**
 * The devices that layers run on.
 *
 * @param list at least one
 */
record Devices(List<ComputeDevice> list) implements AutoCloseable {

  @Override
  public void close() {
    list.forEach(ComputeDevice::close);
  }

  /** Makes the devices and what drives them. */
  @Factory
  static final class Beans {

    @Singleton
    @Bean(preDestroy = "close")
    Devices devices(DeviceSettings settings, MeterRegistry registry) {
      Devices devices = new Devices(ComputeDevice.of(settings));
      for (ComputeDevice device : devices.list()) {
        if (device.budget().isBounded()) {
          Gauge.builder("splitcompute.batch.most.bytes", device.budget(), DeviceBudget::left)
              .description("Bytes that a batch's activations may take on a device")
              .tag("device", device.device().toString())
              .register(registry);
        }
      }
      return devices;
    }

    @Singleton
    @Bean(preDestroy = "close")
    Scheduler scheduler(BatchLimits limits, Devices devices, MeterRegistry registry) {
      return new Scheduler(limits, devices.list().size(), registry);
    }
  }
}
