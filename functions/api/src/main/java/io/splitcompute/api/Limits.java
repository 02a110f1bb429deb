package io.splitcompute.api;

import io.micronaut.context.annotation.ConfigurationProperties;
import io.micronaut.core.bind.annotation.Bindable;
import jakarta.validation.constraints.Min;

/**
 * What one request may ask for.
 *
 * @param maxInputs inputs of one request
 * @param maxTokensPerRequest tokens of all inputs of one request
 * @param maxResponseBytes bytes of a response's body; what is larger travels through the activations
 *     bucket. 4.5 MB are 6 MB in base64, which is what Lambda lets through
 */
@ConfigurationProperties("splitcompute.limits")
public record Limits(
    @Bindable(defaultValue = "2048") @Min(1) int maxInputs,
    @Bindable(defaultValue = "16384") @Min(1) int maxTokensPerRequest,
    @Bindable(defaultValue = "4500000") @Min(1024) int maxResponseBytes) {}
