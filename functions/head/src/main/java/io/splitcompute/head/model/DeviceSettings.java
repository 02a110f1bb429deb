package io.splitcompute.head.model;

import io.micronaut.context.annotation.ConfigurationProperties;
import io.micronaut.core.bind.annotation.Bindable;
import io.micronaut.core.convert.format.ReadableBytes;

/**
 * Which devices run the layers, and how exactly.
 *
 * @param device {@code auto} (every GPU, or the CPU where there is none), {@code cpu}, {@code cuda}
 *     (every GPU) or GPUs by number, {@code cuda:0,1}; several serve as replicas
 * @param precision {@code auto} (f32 on the CPU, f16 on a GPU), {@code f32}, {@code f16} or {@code
 *     f16-residual-f32}
 * @param activationBytes most bytes of activations on each device, {@code 512MB} say, or 0 for any;
 *     a GPU's free memory bounds them in any case
 */
@ConfigurationProperties("splitcompute")
public record DeviceSettings(
    @Bindable(defaultValue = "auto") String device,
    @Bindable(defaultValue = "auto") String precision,
    @ReadableBytes @Bindable(defaultValue = "0") long activationBytes) {}
